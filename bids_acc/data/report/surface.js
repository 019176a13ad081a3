// Maps on inflated surfaces that can be turned. Without WebGL, DecompressionStream (browsers before
// 2023) or script the still picture stays.
'use strict';
(() => {
  const bytes = async (text) => {
    const packed = new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
    const plain = packed.stream().pipeThrough(new DecompressionStream('deflate'));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  };
  const numbers = async (text, Kind) => { // all low bytes, then all high ones
    const planes = await bytes(text);
    const n = planes.length / 2;
    return Kind.from({ length: n }, (_, i) => planes[i] + 256 * planes[n + i]);
  };
  const corners = async (text) => { // each corner differs by so much from that of the face before
    const steps = await numbers(text, Uint16Array);
    const n = steps.length / 3;
    const faces = new Uint16Array(steps.length);
    for (let k = 0; k < 3; k += 1) {
      let last = 0;
      for (let f = 0; f < n; f += 1) {
        last = (last + steps[k * n + f]) % 65536;
        faces[3 * f + k] = last;
      }
    }
    return faces;
  };
  const SIDES = ['L', 'R'];
  const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
    [31, 158, 137], [53, 183, 121], [110, 206, 88], [181, 222, 43], [253, 231, 37]];
  const MISSING = 65535;
  const VERTEX = `attribute vec3 place; attribute vec3 normal; attribute vec3 colour;
    uniform mat3 turn; uniform vec2 scale; uniform vec2 nudge; uniform float near;
    varying vec3 lit;
    void main() {
      vec3 p = turn * place;
      float light = 0.5 + 0.5 * max((turn * normal).z, 0.0);
      lit = near > 0.0 ? colour : colour * light;
      gl_Position = vec4(p.xy * scale + nudge, -p.z / 250.0 - near, 1.0);
    }`;
  const FRAGMENT = `precision mediump float; varying vec3 lit;
    void main() { gl_FragColor = vec4(lit, 1.0); }`;

  const meshes = {};
  const readMesh = (id) => { // once, when the first of its maps comes into view
    meshes[id] ??= unpackMesh(id);
    return meshes[id];
  };
  const unpackMesh = (id) => {
    const content = JSON.parse(document.getElementById(id).textContent);
    return Promise.all(SIDES.map(async (side) => {
      const faces = await corners(content[side].faces ?? content.L.faces);
      const hundredths = await numbers(content[side].places, Int16Array);
      const places = Float32Array.from(hundredths, (v) => v / 100);
      const normals = new Float32Array(places.length);
      for (let f = 0; f < faces.length; f += 3) {
        const [a, b, c] = [3 * faces[f], 3 * faces[f + 1], 3 * faces[f + 2]];
        const u = [0, 1, 2].map((k) => places[b + k] - places[a + k]);
        const v = [0, 1, 2].map((k) => places[c + k] - places[a + k]);
        const n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        for (const corner of [a, b, c]) n.forEach((value, k) => { normals[corner + k] += value; });
      }
      for (let i = 0; i < normals.length; i += 3) {
        const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
        for (let k = 0; k < 3; k += 1) normals[i + k] /= length;
      }
      return { faces, places, normals, sulcus: await bytes(content[side].sulcus) };
    }));
  };
  const spread = (values, faces) => { // one entry for each corner of each face
    const all = new Float32Array(3 * faces.length);
    for (let i = 0; i < faces.length; i += 1) {
      for (let k = 0; k < 3; k += 1) all[3 * i + k] = values[3 * faces[i] + k];
    }
    return all;
  };
  const viridis = (share) => {
    const at = Math.min(Math.max(share, 0), 1) * (VIRIDIS.length - 1);
    const low = Math.min(Math.floor(at), VIRIDIS.length - 2);
    return VIRIDIS[low].map((v, k) => (v + (at - low) * (VIRIDIS[low + 1][k] - v)) / 255);
  };
  const borders = (labels, places, faces) => { // lines between vertices that are labelled differently
    const lines = [];
    const middle = (i, j) => [0, 1, 2].map((k) => (places[3 * i + k] + places[3 * j + k]) / 2);
    for (let f = 0; f < faces.length; f += 3) {
      const c = [faces[f], faces[f + 1], faces[f + 2]];
      const cut = [[c[0], c[1]], [c[1], c[2]], [c[2], c[0]]]
        .filter(([i, j]) => labels[i] !== labels[j]).map(([i, j]) => middle(i, j));
      if (cut.length === 2) lines.push(...cut[0], ...cut[1]);
      if (cut.length === 3) {
        const centre = [0, 1, 2].map((k) => (cut[0][k] + cut[1][k] + cut[2][k]) / 3);
        for (const end of cut) lines.push(...end, ...centre);
      }
    }
    return new Float32Array(lines);
  };
  const multiply = (turn, x, y, z) => [0, 1, 2]
    .map((row) => turn[row] * x + turn[3 + row] * y + turn[6 + row] * z);

  class Viewer {
    constructor(box) {
      this.box = box;
      this.canvas = box.querySelector('canvas');
      this.gl = this.canvas.getContext('webgl', { antialias: true });
    }

    async start() {
      if (!this.gl || !('DecompressionStream' in window)) return;
      const { box } = this;
      this.hemispheres = await readMesh(box.dataset.mesh);
      const told = JSON.parse(document.getElementById(box.dataset.maps).textContent);
      const both = (values, read) => Promise.all(SIDES.map((side) => read(values[side], Uint16Array)));
      this.maps = await Promise.all(told.maps.map(async (map) => ({
        ...map, values: await both(map.values, numbers),
      })));
      this.outline = await both(told.outline, bytes);
      this.regions = await both(told.regions, numbers);
      this.names = told.names;
      this.zoom = 1;
      this.view = [Math.PI, 0];
      this.prepare();
      this.listen();
      box.hidden = false;
      box.previousElementSibling.classList.add('still');
      this.choose(0);
      new ResizeObserver(() => this.draw()).observe(this.canvas);
    }

    prepare() {
      const { gl } = this;
      const program = gl.createProgram();
      for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
        const shader = gl.createShader(kind);
        gl.shaderSource(shader, text);
        gl.compileShader(shader);
        gl.attachShader(program, shader);
      }
      gl.linkProgram(program);
      gl.useProgram(program);
      this.at = Object.fromEntries(['place', 'normal', 'colour']
        .map((name) => [name, gl.getAttribLocation(program, name)]));
      this.uniform = Object.fromEntries(['turn', 'scale', 'nudge', 'near']
        .map((name) => [name, gl.getUniformLocation(program, name)]));
      gl.enable(gl.DEPTH_TEST);
      const buffer = (values) => {
        const made = gl.createBuffer();
        gl.bindBuffer(gl.ARRAY_BUFFER, made);
        gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
        return made;
      };
      this.parts = this.hemispheres.map((own, side) => {
        const lines = borders(this.outline[side], own.places, own.faces);
        return { places: buffer(spread(own.places, own.faces)),
          normals: buffer(spread(own.normals, own.faces)), corners: own.faces.length,
          colours: gl.createBuffer(), lines: buffer(lines), n: lines.length / 3 };
      });
    }

    choose(index) {
      this.map = this.maps[index];
      const { gl, map } = this;
      const span = map.high - map.low || 1;
      this.parts.forEach((part, side) => {
        const own = this.hemispheres[side];
        const { faces } = own;
        const values = map.values[side];
        const colour = (vertex, value) => {
          if (value === MISSING) return own.sulcus[vertex] ? [0.62, 0.62, 0.62] : [0.78, 0.78, 0.78];
          if (map.labels) return map.labels[value].colour;
          return viridis((this.number(value) - map.low) / span);
        };
        const all = new Float32Array(3 * faces.length);
        for (let f = 0; f < faces.length; f += 3) {
          const corners = [faces[f], faces[f + 1], faces[f + 2]];
          const own3 = corners.map((vertex) => values[vertex]);
          // labels are not mixed: a face has the one that most of its corners have
          const most = own3[1] === own3[2] ? own3[1] : own3[0];
          corners.forEach((vertex, k) => {
            all.set(colour(vertex, map.labels ? most : own3[k]), 3 * (f + k));
          });
        }
        gl.bindBuffer(gl.ARRAY_BUFFER, part.colours);
        gl.bufferData(gl.ARRAY_BUFFER, all, gl.STATIC_DRAW);
      });
      const [bar, low, high] = ['.bar', '.low', '.high'].map((name) => this.box.querySelector(name));
      bar.parentElement.hidden = Boolean(map.labels);
      low.textContent = map.low.toPrecision(3);
      high.textContent = `${map.high.toPrecision(3)} ${map.unit}`;
      this.draw();
    }

    number(value) {
      return this.map.from + (value / (MISSING - 1)) * (this.map.to - this.map.from);
    }

    turn(side) { // columns: where x, y and z of the surface go; the left is seen from the left
      const s = side === 0 ? -1 : 1;
      const yaw = s * this.view[0];
      const [c, n] = [Math.cos(yaw), Math.sin(yaw)];
      const [p, q] = [Math.cos(this.view[1]), Math.sin(this.view[1])];
      // X = s y, Y = z, Z = s x, then turned about Y by yaw and about X by the pitch
      return new Float32Array([s * n, -s * c * q, s * c * p, s * c, s * n * q, -s * n * p, 0, p, q]);
    }

    draw() {
      const { gl, canvas } = this;
      const ratio = window.devicePixelRatio || 1;
      const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((v) => Math.round(v * ratio));
      if (!width) return;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      gl.viewport(0, 0, width, height);
      gl.clearColor(1, 1, 1, 1);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      const half = Math.floor(width / 2);
      const scale = this.scale(half, height);
      this.parts.forEach((part, side) => {
        gl.viewport(side * half, 0, half, height);
        gl.uniformMatrix3fv(this.uniform.turn, false, this.turn(side));
        gl.uniform2f(this.uniform.scale, (2 * scale) / half, (2 * scale) / height);
        gl.uniform2f(this.uniform.nudge, 0, 0);
        gl.uniform1f(this.uniform.near, 0);
        this.fill('place', part.places);
        this.fill('normal', part.normals);
        this.fill('colour', part.colours);
        gl.drawArrays(gl.TRIANGLES, 0, part.corners);
        if (!part.n) return;
        this.fill('place', part.lines);
        gl.disableVertexAttribArray(this.at.normal);
        gl.disableVertexAttribArray(this.at.colour);
        // a dark line with a light rim is seen on every colour
        for (const [shade, radius, near] of [[1, 2, 0.012], [0, 1, 0.016]]) {
          gl.vertexAttrib3f(this.at.colour, shade, shade, shade);
          gl.uniform1f(this.uniform.near, near);
          for (let k = 0; k < 8; k += 1) {
            const [x, y] = [Math.cos(k * Math.PI / 4), Math.sin(k * Math.PI / 4)];
            gl.uniform2f(this.uniform.nudge, (radius * ratio * x) / half, (radius * ratio * y) / height);
            gl.drawArrays(gl.LINES, 0, part.n);
          }
        }
      });
    }

    scale(half, height) { // pixels per millimetre: from above a brain is higher than from the side
      const tall = 165 + 65 * Math.abs(Math.sin(this.view[1]));
      return this.zoom * Math.min(half / 230, height / tall);
    }

    fill(name, buffer) {
      const { gl } = this;
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.enableVertexAttribArray(this.at[name]);
      gl.vertexAttribPointer(this.at[name], 3, gl.FLOAT, false, 0, 0);
    }

    nearest(event) { // vertex under the pointer: the foremost of those close to it
      const frame = this.canvas.getBoundingClientRect();
      const half = frame.width / 2;
      const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
      const side = x < half ? 0 : 1;
      const scale = this.scale(half, frame.height);
      const across = (x - side * half - half / 2) / scale;
      const up = (frame.height / 2 - y) / scale;
      const turn = this.turn(side);
      const { places } = this.hemispheres[side];
      let [best, depth] = [-1, -Infinity];
      for (let v = 0; v < places.length / 3; v += 1) {
        const [a, b, c] = multiply(turn, places[3 * v], places[3 * v + 1], places[3 * v + 2]);
        if ((a - across) ** 2 + (b - up) ** 2 < 4 && c > depth) [best, depth] = [v, c];
      }
      return [side, best];
    }

    tell(event) {
      const [side, vertex] = this.nearest(event);
      const said = this.box.querySelector('output');
      if (vertex < 0) { said.textContent = ''; return; }
      const value = this.map.values[side][vertex];
      let text = 'no value';
      if (value !== MISSING) {
        text = this.map.labels ? this.map.labels[value].name
          : `${this.number(value).toPrecision(3)} ${this.map.unit}`;
      }
      const region = this.names[this.regions[side][vertex]] || '';
      said.textContent = `${['left', 'right'][side]} ${region}: ${this.map.title} ${text}`;
    }

    look(yaw, pitch) {
      this.view = [yaw, Math.min(Math.max(pitch, -Math.PI / 2), Math.PI / 2)];
      this.draw();
    }

    listen() {
      const { box, canvas } = this;
      const select = box.querySelector('select');
      this.maps.forEach((map, index) => select.add(new Option(map.title, String(index))));
      select.addEventListener('change', () => this.choose(Number(select.value)));
      const views = { medial: [Math.PI, 0], lateral: [0, 0], top: [Math.PI / 2, Math.PI / 2],
        front: [-Math.PI / 2, 0] };
      for (const button of box.querySelectorAll('button')) {
        button.addEventListener('click', () => {
          if (button.value in views) this.look(...views[button.value]);
          else { this.zoom *= button.value === 'in' ? 1.25 : 0.8; this.draw(); }
        });
      }
      let last = null;
      canvas.addEventListener('pointerdown', (event) => {
        last = event;
        canvas.setPointerCapture(event.pointerId);
      });
      canvas.addEventListener('pointerup', () => { last = null; });
      canvas.addEventListener('pointermove', (event) => {
        if (!last) { this.tell(event); return; }
        const [dx, dy] = [event.clientX - last.clientX, event.clientY - last.clientY];
        last = event;
        const right = event.clientX - canvas.getBoundingClientRect().left > canvas.clientWidth / 2;
        this.look(this.view[0] + (right ? dx : -dx) / 120, this.view[1] + dy / 120);
      });
      canvas.addEventListener('keydown', (event) => {
        const step = { ArrowLeft: [0.15, 0], ArrowRight: [-0.15, 0], ArrowUp: [0, -0.15],
          ArrowDown: [0, 0.15] }[event.key];
        if (!step) return;
        event.preventDefault();
        this.look(this.view[0] + step[0], this.view[1] + step[1]);
      });
    }
  }
  for (const box of document.querySelectorAll('.surface')) {
    const still = box.previousElementSibling;
    new IntersectionObserver((seen, observer) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      new Viewer(box).start();
    }, { rootMargin: '200px' }).observe(still);
  }
})();
