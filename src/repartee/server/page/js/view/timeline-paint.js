/** Paints the timeline: a scene and colours in, pixels out. */

import { STEP_MS } from "../model/timeline.js";
import { latency, parts } from "../model/turns.js";
import { duration } from "./dom.js";

/**
 * @typedef {object} Scene
 * @property {number} width CSS pixels
 * @property {number} height
 * @property {number} perSecond pixels
 * @property {number} nowX where now is; right of it is what was generated and not yet heard
 * @property {(x: number) => number} timeAt
 * @property {(time: number) => number} xAt
 * @property {import("../model/timeline.js").Timeline} timeline
 * @property {import("../model/turns.js").Turns} turns
 * @property {number|null} cursor
 * @property {boolean} live
 */

const NAMES = ["surface", "line", "line-strong", "ink", "ink-2", "ink-3", "you", "you-soft", "agent", "agent-soft", "warn"];
const PARTS = ["part-1", "part-2", "part-3", "part-4"];
const STAGE_PART = { decision: "part-1", first_token: "part-2", first_audio: "part-3", heard: "part-4" };
const BAR_PX = 3; // of a waveform: two of ink, one of air
const RULER_PX = 18;

/** The tokens as the canvas needs them. @returns {Record<string, string>} */
export function readColours() {
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  const colours = {};
  for (const name of [...NAMES, ...PARTS]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  const { fontFamily } = getComputedStyle(document.body);
  return { ...colours, font: fontFamily };
}

/** @param {CanvasRenderingContext2D} g @param {Scene} scene @param {Record<string, string>} colours */
export function paint(g, scene, colours) {
  const lanes = layOut(scene.height);
  g.clearRect(0, 0, scene.width, scene.height);
  ruler(g, scene, colours);
  bands(g, scene, colours, lanes);
  wave(g, scene, scene.timeline.you, lanes.you, colours.you);
  wave(g, scene, scene.timeline.agent, lanes.agent, colours.agent);
  ahead(g, scene, lanes.agent, colours);
  curve(g, scene, lanes.you, colours);
  waits(g, scene, lanes.wait, colours);
  marks(g, scene, colours);
  names(g, lanes, colours);
  now(g, scene, colours);
  if (!scene.timeline.spans.length) empty(g, scene, colours);
  if (scene.cursor !== null) cursor(g, scene, colours);
}

function layOut(height) {
  const free = height - RULER_PX - 8;
  const wait = Math.max(18, Math.round(free * 0.15));
  const tool = Math.max(14, Math.round(free * 0.12));
  const lane = Math.round((free - wait - tool - 8) / 2);
  const you = { top: RULER_PX + 2, height: lane };
  const between = { top: you.top + lane + 2, height: wait };
  const agent = { top: between.top + wait + 2, height: lane };
  return { you, wait: between, agent, tool: { top: agent.top + lane + 4, height: tool } };
}

function ruler(g, { width, perSecond, timeAt, xAt }, colours) {
  const step_s = [0.1, 0.25, 0.5, 1, 2, 5, 10, 30].find((s) => s * perSecond >= 64) ?? 60;
  g.font = `11px ${colours.font}`;
  g.textBaseline = "middle";
  g.textAlign = "center";
  for (let s = Math.max(0, Math.ceil(timeAt(0) / 1000 / step_s) * step_s); xAt(s * 1000) < width; s += step_s) {
    const x = Math.round(xAt(s * 1000)) + 0.5;
    g.fillStyle = colours.line;
    g.fillRect(x, RULER_PX - 4, 1, g.canvas.height);
    g.fillStyle = colours["ink-3"];
    const minutes = Math.floor(s / 60);
    const seconds = (s % 60).toFixed(step_s < 1 ? 1 : 0).padStart(step_s < 1 ? 4 : 2, "0");
    g.fillText(`${minutes}:${seconds}`, x, RULER_PX / 2 + 1);
  }
}

function bands(g, scene, colours, lanes) {
  const { timeline, timeAt, xAt, width, nowX } = scene;
  for (const span of timeline.spansIn(timeAt(0), timeAt(width))) {
    const x = Math.max(-4, xAt(span.from));
    const end = Math.min(width, span.to === null ? nowX : xAt(span.to));
    const w = Math.max(2, end - x);
    if (span.kind === "speech") box(g, x, lanes.you, w, colours["you-soft"]);
    else if (span.kind === "speaking") box(g, x, lanes.agent, w, colours["agent-soft"]);
    else if (span.kind === "thinking") hatch(g, x, lanes.agent, w, colours["ink-3"]);
    else tool(g, x, lanes.tool, w, span.label, colours);
  }
}

function box(g, x, { top, height }, w, colour) {
  g.fillStyle = colour;
  g.beginPath();
  g.roundRect(x, top, w, height, 4);
  g.fill();
}

function hatch(g, x, { top, height }, w, colour) {
  g.fillStyle = colour;
  const middle = top + height / 2;
  for (let at = 3; at < w - 1; at += 6) {
    g.beginPath();
    g.arc(x + at, middle, 1.2, 0, 7);
    g.fill();
  }
}

function tool(g, x, { top, height }, w, label, colours) {
  g.strokeStyle = colours["line-strong"];
  g.fillStyle = colours["ink-2"];
  g.beginPath();
  g.roundRect(x + 0.5, top + 0.5, Math.max(6, w) - 1, height - 1, 3);
  g.stroke();
  g.font = `10.5px ${colours.font}`;
  g.textAlign = "left";
  g.textBaseline = "middle";
  g.fillText(label, w > 60 ? x + 5 : x + Math.max(6, w) + 4, top + height / 2 + 0.5);
}

function wave(g, { nowX, timeAt, perSecond, xAt }, envelope, { top, height }, colour) {
  const middle = top + height / 2;
  const step_ms = (BAR_PX * 1000) / perSecond;
  g.fillStyle = colour;
  // Bars stand at fixed times, so that they scroll instead of flickering.
  for (let at = Math.floor(Math.max(0, timeAt(0)) / step_ms) * step_ms; ; at += step_ms) {
    const x = xAt(at);
    if (x >= nowX) break;
    const level = Math.sqrt(envelope.peak(at, at + step_ms));
    if (level <= 0.01) continue;
    const half = Math.max(0.75, (level * (height - 6)) / 2);
    g.fillRect(x, middle - half, BAR_PX - 1, 2 * half);
  }
}

function ahead(g, { timeline, nowX, width, perSecond, live }, { top, height }, colours) {
  if (!live || !timeline.ahead.length) return;
  const middle = top + height / 2;
  const steps = Math.max(1, Math.round((BAR_PX * 1000) / perSecond / STEP_MS));
  const pixels = (steps * STEP_MS * perSecond) / 1000;
  g.fillStyle = colours.agent;
  g.globalAlpha = 0.32;
  for (let i = 0, x = nowX + 1; i < timeline.ahead.length && x < width; i += steps, x += pixels) {
    const level = Math.sqrt(Math.max(...timeline.ahead.slice(i, i + steps)));
    const half = Math.max(0.75, (level * (height - 6)) / 2);
    g.fillRect(x, middle - half, Math.max(1, pixels - 1), 2 * half);
  }
  g.globalAlpha = 1;
}

function curve(g, { timeline, timeAt, xAt, width }, { top, height }, colours) {
  const points = timeline.curve.filter(({ at }) => at >= timeAt(-200) && at <= timeAt(width));
  const y = (probability) => top + height - 3 - probability * (height - 6);
  g.strokeStyle = colours["ink-2"];
  g.fillStyle = colours.ink;
  g.lineWidth = 1.5;
  g.beginPath();
  points.forEach(({ at, probability }, i) => {
    const near = i > 0 && at - points[i - 1].at < 1500;
    if (near) g.lineTo(xAt(at), y(probability));
    else g.moveTo(xAt(at), y(probability));
  });
  g.stroke();
  g.lineWidth = 1;
  g.font = `11px ${colours.font}`;
  g.textAlign = "left";
  g.textBaseline = "middle";
  points.forEach(({ at, probability }, i) => {
    g.fillStyle = colours.ink;
    g.beginPath();
    g.arc(xAt(at), y(probability), 3, 0, 7);
    g.fill();
    if (i + 1 < points.length && xAt(points[i + 1].at) - xAt(at) < 48) return;
    const text = `${Math.round(100 * probability)} %`;
    g.fillStyle = colours.surface;
    g.globalAlpha = 0.8;
    g.fillRect(xAt(at) + 5, y(probability) - 7, g.measureText(text).width + 4, 14);
    g.globalAlpha = 1;
    g.fillStyle = colours.ink;
    g.fillText(text, xAt(at) + 7, y(probability) + 0.5);
  });
}

function waits(g, { turns, xAt, width, perSecond }, { top, height }, colours) {
  for (const [i, turn] of turns.list.entries()) {
    const found = parts(turn);
    if (!found.length) continue;
    const from = xAt(found[0].from);
    const to = xAt(found.at(-1).to);
    if (to < 0 || from > width) continue;
    const bar = Math.min(8, height - 8);
    const y = top + (height - bar) / 2;
    for (const { stage, from: a, to: b } of found) {
      g.fillStyle = colours[STAGE_PART[stage]];
      g.fillRect(xAt(a), y, Math.max(1, xAt(b) - xAt(a)), bar);
    }
    const ms = latency(turn);
    if (ms === null || perSecond < 20) continue;
    g.fillStyle = colours.ink;
    g.font = `600 11.5px ${colours.font}`;
    g.textAlign = "left";
    g.textBaseline = "middle";
    const at = Math.max(to, from + 2) + 5;
    const next = turns.list[i + 1]?.at.speech_end;
    if (next !== undefined && xAt(next) < at + g.measureText(duration(ms)).width) continue; // no room
    g.fillText(duration(ms), at, top + height / 2 + 0.5);
  }
}

function marks(g, { timeline, timeAt, xAt, width, height }, colours) {
  for (const { at, kind } of timeline.marks) {
    if (at < timeAt(-8) || at > timeAt(width)) continue;
    const x = Math.round(xAt(at));
    g.fillStyle = kind === "interruption" ? colours.warn : colours["line-strong"];
    g.fillRect(x, RULER_PX - 2, 2, height - RULER_PX);
    g.beginPath();
    g.moveTo(x - 4, RULER_PX - 2);
    g.lineTo(x + 6, RULER_PX - 2);
    g.lineTo(x + 1, RULER_PX + 5);
    g.fill();
  }
}

function names(g, lanes, colours) {
  g.font = `600 11px ${colours.font}`;
  g.textAlign = "left";
  g.textBaseline = "top";
  for (const [lane, name] of [
    ["you", "You"],
    ["agent", "Agent"],
  ]) {
    const { top } = lanes[lane];
    g.fillStyle = colours.surface;
    g.globalAlpha = 0.85;
    g.fillRect(12, top + 2, g.measureText(name).width + 8, 16);
    g.globalAlpha = 1;
    g.fillStyle = colours[lane];
    g.fillText(name, 16, top + 4);
  }
}

function now(g, { nowX, height, live }, colours) {
  g.fillStyle = live ? colours.ink : colours["ink-3"];
  g.fillRect(nowX, RULER_PX - 4, 1, height - RULER_PX);
}

function empty(g, { width, height }, colours) {
  g.fillStyle = colours["ink-3"];
  g.font = `13px ${colours.font}`;
  g.textAlign = "center";
  g.textBaseline = "middle";
  const text = "It scrolls as you talk: both voices, and how long each answer took.";
  g.fillText(g.measureText(text).width < width - 140 ? text : "It scrolls as you talk.", width / 2, (height + RULER_PX) / 2);
}

function cursor(g, { xAt, cursor: at, height }, colours) {
  g.strokeStyle = colours["ink-2"];
  g.setLineDash([3, 3]);
  g.beginPath();
  g.moveTo(Math.round(xAt(at)) + 0.5, RULER_PX);
  g.lineTo(Math.round(xAt(at)) + 0.5, height);
  g.stroke();
  g.setLineDash([]);
}
