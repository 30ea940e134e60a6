// Stands in for a headset: two views beside each other, straight ahead, and what each of them showed last.
(() => {
  const SIDE = 256;
  const identity = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  // A right angle wide and high.
  const projectionMatrix = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1.002, -1, 0, 0, -0.2002, 0];
  const views = ["left", "right"].map((eye) => ({ eye, projectionMatrix, transform: { inverse: { matrix: identity } } }));
  window.XRWebGLLayer = class {
    framebuffer = null;
    constructor(session, gl) {
      this.gl = gl;
      [gl.canvas.width, gl.canvas.height] = [2 * SIDE, SIDE];
    }
    getViewport({ eye }) {
      return { x: eye === "left" ? 0 : SIDE, y: 0, width: SIDE, height: SIDE };
    }
  };
  WebGLRenderingContext.prototype.makeXRCompatible = async () => {};
  class Session extends EventTarget {
    updateRenderState({ baseLayer }) {
      this.layer = baseLayer;
    }
    async requestReferenceSpace() {
      return {};
    }
    requestAnimationFrame(told) {
      if (!this.over) setTimeout(() => this.frame(told), 20);
    }
    frame(told) {
      told(0, { getViewerPose: () => ({ views }) });
      const { gl } = this.layer;
      this.seen = views.map((view) => {
        const { x, y, width, height } = this.layer.getViewport(view);
        const pixels = new Uint8Array(4 * width * height);
        gl.readPixels(x, y, width, height, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        return pixels;
      });
    }
    // Points of a screen so far to the right and up from the middle, as shares of the view's half, row by row.
    samples(eye, right, up, across, down) {
      const samples = [];
      for (let y = 0; y < down; y++) for (let x = 0; x < across; x++) {
        const [h, v] = [(2 * (x + 0.5) / across - 1) * right, (1 - 2 * (y + 0.5) / down) * up];
        const at = 4 * (Math.floor((v + 1) / 2 * SIDE) * SIDE + Math.floor((h + 1) / 2 * SIDE));
        samples.push([...this.seen[eye].slice(at, at + 3)]);
      }
      return samples;
    }
    async end() {
      this.over = true;
      this.dispatchEvent(new Event("end"));
    }
  }
  const xr = {
    isSessionSupported: async (mode) => mode === "immersive-vr",
    requestSession: async () => (window.session = new Session()),
  };
  Object.defineProperty(navigator, "xr", { value: xr });
})();
