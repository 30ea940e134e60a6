// A result in a headset (WebXR): a screen that stands still before the viewer, and of it each eye sees its own.

import { compiled, PACKINGS } from "./stereo.js";

const VERTICES = `
attribute vec2 place;
uniform mat4 view;
uniform mat4 projection;
// Half of the screen's width and height, and how far away it is, in metres.
uniform vec3 screen;
varying vec2 at;
void main() {
  at = vec2(place.x, -place.y) * 0.5 + 0.5;
  gl_Position = projection * view * vec4(place * screen.xy, -screen.z, 1.0);
}`;

const FRAGMENTS = `
precision highp float;
varying vec2 at;
uniform sampler2D picture;
uniform vec4 eye;
void main() {
  gl_FragColor = vec4(texture2D(picture, eye.xy + at * eye.zw).rgb, 1.0);
}`;

/** Whether there is a headset to watch in; a browser tells only over https or on this machine. */
export async function hasHeadset() {
  try {
    return (await navigator.xr?.isSessionSupported("immersive-vr")) ?? false;
  } catch {
    return false;
  }
}

/**
 * Shows `source` in the headset until its wearer leaves; `settings` has the screen's width and distance in metres,
 * and whether eyes are swapped. Gives the session.
 */
export async function enter(source, packing, settings) {
  const session = await navigator.xr.requestSession("immersive-vr");
  try {
    const gl = document.createElement("canvas").getContext("webgl", { xrCompatible: true });
    await gl.makeXRCompatible?.();
    const layer = new XRWebGLLayer(session, gl);
    session.updateRenderState({ baseLayer: layer });
    const space = await session.requestReferenceSpace("local");
    const screen = new Screen(gl, PACKINGS[packing]);
    const frame = (_, seen) => {
      session.requestAnimationFrame(frame);
      const pose = seen.getViewerPose(space);
      if (!pose) return;
      screen.take(source);
      gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
      gl.clearColor(0.02, 0.02, 0.025, 1);
      gl.clear(gl.COLOR_BUFFER_BIT);
      for (const view of pose.views) {
        const { x, y, width, height } = layer.getViewport(view);
        gl.viewport(x, y, width, height);
        screen.draw(view, settings);
      }
    };
    session.requestAnimationFrame(frame);
  } catch (error) {
    await session.end();
    throw error;
  }
  return session;
}

class Screen {
  #gl;
  #packing;
  #uniforms = {};
  #shape = 1;

  constructor(gl, packing) {
    this.#gl = gl;
    this.#packing = packing;
    const program = compiled(gl, VERTICES, FRAGMENTS);
    for (const name of ["view", "projection", "screen", "eye"]) {
      this.#uniforms[name] = gl.getUniformLocation(program, name);
    }
  }

  /** Takes what the source shows now. */
  take(source) {
    const [width, height] = [source.videoWidth || source.naturalWidth, source.videoHeight || source.naturalHeight];
    if (!width || !height) return;
    const [, , across, down] = this.#packing.left;
    this.#shape = (height * down) / (width * across);
    const gl = this.#gl;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, source);
  }

  draw(view, { width, distance, swapped }) {
    const gl = this.#gl;
    // A single view, as some browsers give on a flat screen, is the left eye's.
    const left = (view.eye !== "right") !== swapped;
    gl.uniformMatrix4fv(this.#uniforms.view, false, view.transform.inverse.matrix);
    gl.uniformMatrix4fv(this.#uniforms.projection, false, view.projectionMatrix);
    gl.uniform3f(this.#uniforms.screen, width / 2, (width * this.#shape) / 2, distance);
    gl.uniform4fv(this.#uniforms.eye, this.#packing[left ? "left" : "right"]);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }
}
