/** The camera: what it sees, and a button that takes a photo. */

import { html, useEffect, useRef, useState } from "../../../lib/view.js";
import { Dialog } from "../../../components/dialog.js";
import { withoutDevice } from "../lib/recorder.js";

/** @param {{ onClose: () => void, onPhoto: (blob: Blob) => void }} props */
export function Camera({ onClose, onPhoto }) {
  const video = useRef(null);
  const [error, setError] = useState(null);
  const [ready, setReady] = useState(false);
  useEffect(() => {
    let stream = null;
    let closed = false;
    const open = async () => {
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      if (closed) stop(stream);
      else video.current.srcObject = stream;
    };
    open().catch((reason) => setError(withoutDevice("camera", reason)));
    return () => {
      closed = true;
      if (stream) stop(stream);
    };
  }, []);
  const take = () => {
    const { videoWidth, videoHeight } = video.current;
    const canvas = Object.assign(document.createElement("canvas"), { width: videoWidth, height: videoHeight });
    canvas.getContext("2d").drawImage(video.current, 0, 0);
    canvas.toBlob((blob) => {
      onPhoto(Object.assign(blob, { name: "camera.jpg" }));
      onClose();
    }, "image/jpeg", 0.92);
  };
  return html`<${Dialog} title="Camera" onClose=${onClose}>
    <div class="stack">
      ${error ? html`<p>${error}</p>` : html`<video ref=${video} class="camera" autoplay playsinline muted onLoadedData=${() => setReady(true)}></video>`}
      <button type="button" class="button primary" disabled=${!ready} onClick=${take}>Take a photo</button>
    </div>
  </${Dialog}>`;
}

function stop(stream) {
  for (const track of stream.getTracks()) track.stop();
}
