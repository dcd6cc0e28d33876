/** What every page does: it says when the connection is lost, and tells times in the reader's time zone. */

import { watchNetwork } from "./connection.js";
import { localTimes } from "./times.js";

watchNetwork();
localTimes(document);
