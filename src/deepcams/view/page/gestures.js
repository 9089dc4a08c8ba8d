// Dragging, pinching, scrolling and clicking on a map.

/** What is done is told: `zoom(factor, x, y)`, `pan(dx, dy)`, `point(x, y)` and `pick(x, y)`, in pixels of the map. */
export function listen(canvas, { zoom, pan, point, pick }) {
  const down = new Map();
  let dragged = 0;
  canvas.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, event);
    canvas.setPointerCapture(event.pointerId);
    if (down.size === 1) dragged = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) { point(event.offsetX, event.offsetY); return; }
    const dx = event.offsetX - before.offsetX, dy = event.offsetY - before.offsetY;
    dragged += Math.abs(dx) + Math.abs(dy);
    if (down.size === 2) {
      const other = [...down.entries()].find(([id]) => id !== event.pointerId)[1];
      const apart = (one) => Math.hypot(one.offsetX - other.offsetX, one.offsetY - other.offsetY) || 1;
      zoom(apart(event) / apart(before), (event.offsetX + other.offsetX) / 2, (event.offsetY + other.offsetY) / 2);
    } else if (dragged > 4) {
      pan(dx, dy);
    }
    down.set(event.pointerId, event);
  });
  const up = (event) => {
    const alone = down.size === 1 && down.has(event.pointerId);
    down.delete(event.pointerId);
    if (alone && dragged <= 4 && event.type === "pointerup") pick(event.offsetX, event.offsetY);
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    if (event.key === "Enter") pick(canvas.clientWidth / 2, canvas.clientHeight / 2);
  });
}
