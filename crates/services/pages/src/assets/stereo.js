// Two eyes out of one picture, drawn by WebGL in whatever way they are watched.

/** Ways to show two eyes; the shader knows them by their place here. */
export const MODES = [
  "sbs", "cross", "anaglyph-dubois", "anaglyph", "anaglyph-half-colour", "anaglyph-optimised",
  "wiggle", "left", "right", "flat",
];

const VERTICES = `
attribute vec2 place;
varying vec2 at;
void main() {
  at = place * 0.5 + 0.5;
  gl_Position = vec4(place, 0.0, 1.0);
}`;

// The mixes are those of parallax-stereo's anaglyphs: Dubois in linear light, the others as they are.
const FRAGMENTS = `
precision highp float;
varying vec2 at;
uniform sampler2D picture;
// Where the eyes are in the picture: offset and size.
uniform vec4 left_eye;
uniform vec4 right_eye;
uniform int mode;
uniform bool second;

vec3 eye(vec4 where, vec2 at) {
  return texture2D(picture, where.xy + vec2(at.x, 1.0 - at.y) * where.zw).rgb;
}
vec3 linear(vec3 v) {
  return mix(v / 12.92, pow((v + 0.055) / 1.055, vec3(2.4)), step(0.04045, v));
}
vec3 curved(vec3 v) {
  return mix(v * 12.92, 1.055 * pow(max(v, 0.0), vec3(1.0 / 2.4)) - 0.055, step(0.0031308, v));
}
vec3 dubois(vec3 l, vec3 r) {
  l = linear(l);
  r = linear(r);
  vec3 from_left = clamp(vec3(dot(vec3(0.437, 0.449, 0.164), l), dot(vec3(-0.062, -0.062, -0.024), l),
                              dot(vec3(-0.048, -0.050, -0.017), l)), 0.0, 1.0);
  vec3 from_right = clamp(vec3(dot(vec3(-0.011, -0.032, -0.007), r), dot(vec3(0.377, 0.761, 0.009), r),
                               dot(vec3(-0.026, -0.093, 1.234), r)), 0.0, 1.0);
  return curved(clamp(from_left + from_right, 0.0, 1.0));
}
void main() {
  vec3 colour;
  if (mode <= 1) {
    bool on_left = at.x < 0.5;
    vec2 inner = vec2(on_left ? at.x * 2.0 : at.x * 2.0 - 1.0, at.y);
    colour = eye(on_left == (mode == 0) ? left_eye : right_eye, inner);
  } else if (mode == 6) {
    colour = eye(second ? right_eye : left_eye, at);
  } else if (mode == 7) {
    colour = eye(left_eye, at);
  } else if (mode == 8) {
    colour = eye(right_eye, at);
  } else if (mode == 9) {
    colour = eye(vec4(0.0, 0.0, 1.0, 1.0), at);
  } else {
    vec3 l = eye(left_eye, at);
    vec3 r = eye(right_eye, at);
    if (mode == 2) colour = dubois(l, r);
    else if (mode == 3) colour = vec3(l.r, r.gb);
    else if (mode == 4) colour = vec3(dot(vec3(0.299, 0.587, 0.114), l), r.gb);
    else colour = vec3(0.7 * l.g + 0.3 * l.b, r.gb);
  }
  gl_FragColor = vec4(colour, 1.0);
}`;

/** Where the left and the right eye are: x, y, width and height, as shares of the picture. */
export const PACKINGS = {
  "left-right": { left: [0, 0, 0.5, 1], right: [0.5, 0, 0.5, 1] },
  "right-left": { left: [0.5, 0, 0.5, 1], right: [0, 0, 0.5, 1] },
  "top-bottom": { left: [0, 0, 1, 0.5], right: [0, 0.5, 1, 0.5] },
};

/** Pixels on a side of the largest drawing. */
const LARGEST = 4096;

export class StereoCanvas {
  #gl;
  #canvas;
  #uniforms = {};
  #packing;
  mode = "anaglyph-dubois";
  swapped = false;
  second = false;

  /** Throws where there is no WebGL. */
  constructor(canvas, packing) {
    this.#canvas = canvas;
    this.#packing = PACKINGS[packing];
    // What is drawn stays until the next drawing: a picture is drawn once.
    const gl = canvas.getContext("webgl", { alpha: false, antialias: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser has no WebGL.");
    this.#gl = gl;
    const program = compiled(gl, VERTICES, FRAGMENTS);
    for (const name of ["left_eye", "right_eye", "mode", "second"]) {
      this.#uniforms[name] = gl.getUniformLocation(program, name);
    }
  }

  /** Draws what `source`, a video or a picture, shows now. */
  draw(source) {
    const [width, height] = [source.videoWidth || source.naturalWidth, source.videoHeight || source.naturalHeight];
    if (!width || !height) return;
    const gl = this.#gl;
    this.#resize(width, height);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, source);
    const { left, right } = this.#packing;
    gl.uniform4fv(this.#uniforms.left_eye, this.swapped ? right : left);
    gl.uniform4fv(this.#uniforms.right_eye, this.swapped ? left : right);
    gl.uniform1i(this.#uniforms.mode, MODES.indexOf(this.mode));
    gl.uniform1i(this.#uniforms.second, this.second ? 1 : 0);
    gl.drawArrays(gl.TRIANGLE_STRIP, 0, 4);
  }

  #resize(width, height) {
    const [, , across, down] = this.#packing.left;
    let [w, h] = [width, height];
    if (this.mode !== "flat") [w, h] = [width * across, height * down];
    if (this.mode === "sbs" || this.mode === "cross") w *= 2;
    const scale = Math.min(1, LARGEST / Math.max(w, h));
    [w, h] = [Math.round(w * scale), Math.round(h * scale)];
    if (this.#canvas.width === w && this.#canvas.height === h) return;
    this.#canvas.width = w;
    this.#canvas.height = h;
    this.#gl.viewport(0, 0, w, h);
  }
}

/** A program in use, with a square to draw and a texture to draw it from. */
export function compiled(gl, vertices, fragments) {
  const program = gl.createProgram();
  gl.attachShader(program, shader(gl, gl.VERTEX_SHADER, vertices));
  gl.attachShader(program, shader(gl, gl.FRAGMENT_SHADER, fragments));
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
  gl.useProgram(program);
  gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
  const place = gl.getAttribLocation(program, "place");
  gl.enableVertexAttribArray(place);
  gl.vertexAttribPointer(place, 2, gl.FLOAT, false, 0, 0);
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) {
    gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
  }
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  return program;
}

function shader(gl, kind, text) {
  const made = gl.createShader(kind);
  gl.shaderSource(made, text);
  gl.compileShader(made);
  if (!gl.getShaderParameter(made, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(made));
  return made;
}
