import { fetch } from "./index.js";

export default { fetch };
