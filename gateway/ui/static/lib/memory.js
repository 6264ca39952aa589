/** How a device's memory is divided: by worker, other programs, what is free, and the margin that stays free. */

/**
 * @typedef {{ kind: "worker" | "others" | "free" | "margin", name: string, bytes: number, model?: string }} Share
 */

/**
 * The shares of a device, which add up to its total. A worker on several devices counts with an equal part on each.
 * @param {{ id: string, total: number, used: number, foreign: number, budget: number }} device
 * @param {{ worker: string, model: string, devices: string[], memory_bytes: number }[]} workers
 * @returns {Share[]}
 */
export function sharesOf(device, workers) {
  const own = workers
    .filter((worker) => worker.devices.includes(device.id) && worker.memory_bytes > 0)
    .map((worker) => ({
      kind: "worker",
      name: worker.worker,
      model: worker.model,
      bytes: Math.round(worker.memory_bytes / worker.devices.length),
    }));
  const ofWorkers = own.reduce((sum, share) => sum + share.bytes, 0);
  // Measured one after the other, the parts may be more than the whole for a moment.
  const others = Math.max(0, Math.min(device.foreign, device.total - ofWorkers));
  const left = Math.max(0, device.total - others - ofWorkers);
  const free = Math.min(left, Math.max(0, device.budget - ofWorkers));
  return [
    ...own,
    { kind: "others", name: "Other programs", bytes: others },
    { kind: "free", name: "Free", bytes: free },
    { kind: "margin", name: "Margin", bytes: left - free },
  ];
}
