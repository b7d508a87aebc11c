// Reads one assertion per line, answers each with `accepted SUBJECT` or `refused`.
import { createInterface } from "node:readline";
import { caller } from "./verify.mjs";

for await (const line of createInterface({ input: process.stdin })) {
  try {
    console.log("accepted", (await caller(line)).sub);
  } catch (error) {
    if (!String(error.code).startsWith("ERR_J")) throw error; // only what jose refuses, not a mistake of ours
    console.log("refused");
  }
}
