import { Heard } from "../js/model/heard.js";
import { equal, ok, test } from "./check.js";

function answer(text, audio_ms, whole = true) {
  const heard = new Heard();
  heard.addText(text);
  heard.addAudio(audio_ms);
  heard.whole = whole;
  return heard;
}

test("nothing is heard before anything was played", () => {
  equal(answer("one two three four", 2000).split(), { heard: "", rest: "one two three four" });
});

test("without places of words, the share of the audio is the share of the text, in whole words", () => {
  const heard = answer("one two three four", 2000);
  heard.play(1000);
  equal(heard.split(), { heard: "one two", rest: " three four" });
  ok(heard.estimated, "it is an estimate");
});

test("a position never goes back", () => {
  const heard = answer("one two three four", 2000);
  heard.play(1000);
  heard.play(200);
  equal(heard.heard_ms, 1000);
});

test("what was played to the end is heard whole", () => {
  const heard = answer("one two", 500);
  heard.play(500);
  equal(heard.split(), { heard: "one two", rest: "" });
});

test("while audio is still to come, a text that runs ahead is not taken for heard", () => {
  const heard = answer("a text that is far longer than the audio that has come so far", 300, false);
  heard.play(290);
  ok(heard.characters < 10, `${heard.characters} characters heard`);
});

test("places of words make it exact", () => {
  const heard = answer("", 3000);
  for (const [word, start_ms] of [["I ", 0], ["can ", 85], ["tell ", 311], ["time.", 705]]) {
    heard.addText(word);
    heard.placeWords(word, start_ms);
  }
  heard.play(320);
  equal(heard.split(), { heard: "I can tell ", rest: "time." });
  ok(!heard.estimated, "it is exact");
});

test("a word whose place is not known goes with the one before it", () => {
  const heard = answer("so it is", 1000);
  heard.placeWords("so ", 0);
  heard.placeWords("it ", null);
  heard.placeWords("is", 600);
  heard.play(100);
  equal(heard.split().heard, "so it ");
});

test("a cut stands, whatever is reported after it", () => {
  const heard = answer("one two three four", 2000);
  heard.cutAt(1000);
  heard.play(2000);
  heard.finish();
  equal(heard.split().rest, " three four");
});

test("what the server says was heard wins", () => {
  const heard = answer("one two three four", 0);
  heard.play(9000);
  heard.told = "one ";
  equal(heard.split(), { heard: "one ", rest: "two three four" });
});

test("without any audio of its own (WebRTC), the end of playback is the end", () => {
  const heard = answer("one two", 0);
  equal(heard.split().heard, "");
  heard.finish();
  equal(heard.split().heard, "one two");
});
