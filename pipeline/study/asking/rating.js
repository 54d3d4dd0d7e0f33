"use strict";
// Asks the questions of #study one by one. Nothing is sent: answers lie in localStorage until the rater downloads them.

const study = JSON.parse(document.getElementById("study").textContent);
const PLACE = `unscene-study-${study.id}`;
const COLUMNS = ["study", "rater", "question", "aspect", "scene", "position", "of", "place", "picture", "rating", "seconds",
  "answered_at"];
const ASKED = {
  identity: ["How much does each picture show this very object?", "1: not at all, another object. 5: exactly this object."],
  prompt: ["How well does each picture follow this text?", "1: not at all. 5: completely."],
};
const $ = (id) => document.getElementById(id);

// ------------------------------------------------------------------------------------------------ order, from a seed
function dice(seed) {  // FNV-1a of the seed, then mulberry32
  let state = 2166136261;
  for (const byte of new TextEncoder().encode(seed)) state = Math.imul(state ^ byte, 16777619);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(list, roll) {
  const mixed = [...list];
  for (let last = mixed.length - 1; last > 0; last--) {
    const other = Math.floor(roll() * (last + 1));
    [mixed[last], mixed[other]] = [mixed[other], mixed[last]];
  }
  return mixed;
}

// Of each rater their own, so that no method stands first for everybody; blocks keep the attention checks apart.
function ordered(rater) {
  const roll = dice(`${study.seed}/${study.id}/${rater}`);
  const questions = shuffled(study.blocks, roll).flatMap((block) => shuffled(block, roll));
  return questions.map((question) => ({...question, pictures: shuffled(question.pictures, roll)}));
}

// ------------------------------------------------------------------------------------------------------ what is kept
let questions = [];
let given = {rater: "", at: 0, answers: {}, seconds: {}, times: {}};
let shownSince = 0;
let kept = true;

function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

function keep() {
  try {
    localStorage.setItem(`${PLACE}/${given.rater}`, JSON.stringify(given));
    localStorage.setItem(PLACE, JSON.stringify(given.rater));
  } catch {
    kept = false;
  }
  $("unkept").hidden = kept;
}

const named = (text) => String(text).replace(/[^A-Za-z0-9_-]/g, "").slice(0, 40);

function someone() {
  return "r" + Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function become(rater) {
  const before = read(`${PLACE}/${rater}`);
  const whole = before && before.answers && before.seconds && before.times && Number.isInteger(before.at);
  given = whole ? before : {rater, at: 0, answers: {}, seconds: {}, times: {}};
  given.rater = rater;
  questions = ordered(rater);
  given.at = Math.min(Math.max(given.at, 0), questions.length);
  keep();
}

// ---------------------------------------------------------------------------------------------------------- the screens
function show(section) {
  for (const id of ["opening", "asking", "end"]) $(id).hidden = id !== section;
  $("early").hidden = section !== "asking";
  $(section).querySelector("h1").focus({preventScroll: true});
  window.scrollTo(0, 0);
}

function go(at) {
  given.at = at;
  keep();
  if (at >= questions.length) finish();
  else ask(questions[at]);
}

function ask(question) {
  const [asked, scale] = ASKED[question.aspect];
  $("asked").textContent = asked;
  $("scale").textContent = scale;
  $("text").textContent = question.text;
  $("text").hidden = !question.text;
  $("object").hidden = question.reference === null;
  if (question.reference !== null) $("object").querySelector("img").src = study.images[question.reference];
  $("count").textContent = `Question ${given.at + 1} of ${questions.length}`;
  $("progress").max = questions.length;
  $("progress").value = given.at;
  $("back").disabled = given.at === 0;
  $("told").textContent = "";
  $("pictures").replaceChildren(...question.pictures.map((picture, place) => framed(picture, place, question)));
  shownSince = performance.now();
  show("asking");
  mark();
}

const letter = (place) => String.fromCharCode(65 + place);

function framed([id, image], place, question) {
  const frame = document.createElement("fieldset");
  const legend = document.createElement("legend");
  legend.textContent = `Picture ${letter(place)}`;
  const shown = document.createElement("img");
  shown.src = study.images[image];
  shown.alt = `Picture ${letter(place)}`;
  const rates = document.createElement("div");
  rates.className = "rates";
  for (let rating = 1; rating <= 5; rating++) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "radio";
    input.name = id;
    input.value = rating;
    input.checked = (given.answers[question.id] || {})[id] === rating;
    input.addEventListener("change", () => rate(question, id, rating));
    label.append(input, String(rating));
    rates.append(label);
  }
  frame.append(legend, shown, rates);
  frame.addEventListener("focusin", () => mark(frame));
  return frame;
}

const frames = () => [...$("pictures").children];
const unrated = () => frames().find((frame) => !frame.querySelector(":checked"));

// The picture that a digit key rates: the one in focus, else the first without a rating.
function mark(frame) {
  const now = frame || unrated() || frames()[0];
  for (const each of frames()) each.classList.toggle("now", each === now);
}

function rate(question, id, rating) {
  const seconds = (performance.now() - shownSince) / 1000;
  (given.answers[question.id] ||= {})[id] = rating;
  given.seconds[question.id] = (given.seconds[question.id] || 0) + seconds;
  given.times[question.id] = new Date().toISOString();
  shownSince = performance.now();
  $("told").textContent = "";
  keep();
}

function onward() {
  const open = unrated();
  if (open) {
    $("told").textContent = `${open.querySelector("legend").textContent} has no rating yet.`;
    open.querySelector("input").focus();
    return;
  }
  go(given.at + 1);
}

function pressed(event) {
  if ($("asking").hidden || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "BUTTON" && event.key === "Enter")
    return;
  if (/^[1-5]$/.test(event.key)) {
    const frame = document.querySelector("fieldset.now");
    frame.querySelector(`input[value="${event.key}"]`).click();
    const following = frames()[frames().indexOf(frame) + 1] || unrated();
    (following ? following.querySelector(":checked") || following.querySelector("input") : $("next")).focus();
  } else if (event.key === "Enter") onward();
  else if (event.key.toLowerCase() === "b" && given.at > 0) go(given.at - 1);
  else return;
  event.preventDefault();
}

// -------------------------------------------------------------------------------------------------------- the answers
function rows() {
  return questions.flatMap((question, at) => question.pictures.flatMap(([id], place) => {
    const rating = (given.answers[question.id] || {})[id];
    if (rating === undefined) return [];
    return [[study.id, given.rater, question.id, question.aspect, question.scene, at + 1, questions.length, place + 1, id,
      rating, given.seconds[question.id].toFixed(1), given.times[question.id]]];
  }));
}

const csv = () => [COLUMNS, ...rows()].map((row) => row.join(",") + "\r\n").join("");

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
  link.download = `answers-${study.id}-${given.rater}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  $("others").hidden = false;
}

function finish() {
  const rated = questions.filter((question) => question.pictures.every(([id]) => (given.answers[question.id] || {})[id]));
  $("counted").textContent = `${rated.length} of ${questions.length} questions are answered.`;
  $("copy").value = csv();
  show("end");
}

function begin() {
  const name = named($("rater").value);
  become(name || someone());
  go(given.at);
}

function opening(rater) {
  $("rater").value = rater;
  const before = rater ? read(`${PLACE}/${rater}`) : null;
  $("begin").textContent = before && before.at ? "Go on" : "Begin";
  show("opening");
}

$("begin").addEventListener("click", begin);
$("rater").addEventListener("keydown", (event) => { if (event.key === "Enter") begin(); });
$("rater").addEventListener("input", () => { $("begin").textContent = "Begin"; });
$("next").addEventListener("click", onward);
$("back").addEventListener("click", () => go(given.at - 1));
$("again").addEventListener("click", () => go(questions.length - 1));
$("save").addEventListener("click", save);
$("early").addEventListener("click", save);
$("another").addEventListener("click", () => { $("others").hidden = true; opening(""); });
document.addEventListener("keydown", pressed);
opening(named(new URLSearchParams(location.hash.slice(1)).get("rater") || read(PLACE) || ""));
