/** Puts the page together. */

import { askModels } from "./link/address.js";
import { judgeStatus } from "./link/failure.js";
import { Talk } from "./talk.js";
import { ConversationView } from "./view/conversation.js";
import { Dock } from "./view/dock.js";
import { EventsView } from "./view/events.js";
import { MicrophoneChoice } from "./view/microphones.js";
import { Panel } from "./view/panel.js";
import { SettingsView } from "./view/settings.js";
import { StatusView } from "./view/status.js";
import { ThemeButton } from "./view/theme.js";
import { TimelineView } from "./view/timeline.js";
import { TurnsView } from "./view/turns.js";

const talk = new Talk();
const conversation = new ConversationView(talk);
const dock = new Dock(talk);
const events = new EventsView(talk);
const settings = new SettingsView(talk);
const timeline = new TimelineView(talk);
const turns = new TurnsView(talk);
new ThemeButton();
new MicrophoneChoice(talk);
const panel = new Panel(() => {
  events.update();
  timeline.draw();
});
new StatusView(talk, {
  retry: () => (talk.phase === "live" ? talk.addVoice() : talk.start({ voice: talk.voice ?? true })),
  type: () => (talk.phase === "live" ? talk.dismiss() : talk.start({ voice: false })),
  settings: () => {
    panel.show("settings");
    panel.set(true, true);
    document.getElementById("set-model").scrollIntoView();
  },
});

function frame() {
  conversation.update();
  turns.update();
  events.update();
  dock.frame();
  timeline.frame();
  requestAnimationFrame(frame);
}
frame();

askModels("", judgeStatus).then(({ models, failure }) => {
  settings.offerModels(models);
  if (failure === "key") document.getElementById("set-key").placeholder = "This server needs one";
});

/** For the tests of the page, and for the curious in the console. */
window.repartee = { talk };
