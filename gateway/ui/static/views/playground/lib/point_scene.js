/** Draws points in three dimensions with three.js, and turns them with the pointer or the keyboard. */

import {
  BufferAttribute, BufferGeometry, Color, OrbitControls, PerspectiveCamera, Points, PointsMaterial, Scene, Vector3, WebGLRenderer,
} from "../../../vendor/three.js";

const TURN = 0.1;
const ZOOM = 0.9;
const AS_IS = "srgb-linear"; // three.js converts no colour from and to it
const BACKGROUNDS = { light: 0xeef1f1, dark: 0x10151a };

/** One cloud on one canvas. It draws only when something has changed. */
export class PointScene {
  /** @param {HTMLCanvasElement} canvas @param {{ positions: Float32Array, colours: Uint8Array }} cloud camera: X right, Y down, Z forward */
  constructor(canvas, { positions, colours }) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas });
    this.renderer.outputColorSpace = AS_IS; // the colours of points are those of pixels
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(50, 1, 0.001, 1e6);
    this.material = new PointsMaterial({ vertexColors: true, sizeAttenuation: true });
    this.geometry = geometryOf(positions, colours);
    this.geometry.computeBoundingSphere();
    this.scene.add(new Points(this.geometry, this.material));
    this.controls = new OrbitControls(this.camera, canvas);
    this.frame = 0;
    // At most once in each frame of the screen: without a graphics card, drawing many points takes a second.
    this.draw = () => (this.frame ||= requestAnimationFrame(() => this.render()));
    this.controls.addEventListener("change", this.draw);
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(canvas.parentElement);
    this.reset();
    this.resize();
  }

  render() {
    this.frame = 0;
    this.renderer.render(this.scene, this.camera);
  }

  /** Look at all points from the side of the camera that took the photo. */
  reset() {
    const { center, radius } = this.geometry.boundingSphere;
    this.controls.target.copy(center);
    this.camera.position.set(center.x, center.y, center.z + radius * 1.8);
    this.camera.near = radius / 1000;
    this.camera.far = radius * 100;
    this.camera.updateProjectionMatrix();
    this.controls.update();
    this.draw();
  }

  /** @param {{ size: number, dark: boolean }} look `size`: 1 is about the distance between points */
  show({ size, dark }) {
    const count = this.geometry.getAttribute("position").count;
    this.material.size = (size * this.geometry.boundingSphere.radius * 1.6) / Math.sqrt(Math.max(count, 1));
    this.scene.background = new Color().setHex(dark ? BACKGROUNDS.dark : BACKGROUNDS.light, AS_IS);
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const turns = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, -TURN], ArrowDown: [0, TURN] };
    const zooms = { "+": ZOOM, "=": ZOOM, "-": 1 / ZOOM };
    if (turns[event.key]) this.turn(...turns[event.key]);
    else if (zooms[event.key]) this.zoom(zooms[event.key]);
    else return;
    event.preventDefault();
  }

  turn(sideways, up) {
    const offset = this.camera.position.clone().sub(this.controls.target);
    offset.applyAxisAngle(new Vector3(0, 1, 0), sideways);
    offset.applyAxisAngle(new Vector3(1, 0, 0), up);
    this.camera.position.copy(this.controls.target).add(offset);
    this.controls.update();
    this.draw();
  }

  zoom(factor) {
    const offset = this.camera.position.clone().sub(this.controls.target).multiplyScalar(factor);
    this.camera.position.copy(this.controls.target).add(offset);
    this.controls.update();
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas.parentElement;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / Math.max(height, 1);
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  /** Free what the graphics card holds. */
  close() {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.controls.dispose();
    this.geometry.dispose();
    this.material.dispose();
    this.renderer.dispose();
  }
}

/** The points with Y up and Z towards the viewer, as three.js has them. */
function geometryOf(positions, colours) {
  const turned = Float32Array.from(positions, (value, index) => (index % 3 === 0 ? value : -value));
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(turned, 3));
  geometry.setAttribute("color", new BufferAttribute(colours, 3, true));
  return geometry;
}
