/** Times that the server wrote in UTC, in the reader's own time zone. */

import { moment } from "./words.js";

/** @param {ParentNode} root */
export function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toString();
    time.textContent = moment(time.dateTime);
  }
}
