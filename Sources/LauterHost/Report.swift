// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif

/// How a worker ended and what it used, as the header's `lauter_report`.
package struct Report: Sendable {
  package var reason = LAUTER_REASON_RUNNING
  package var exitCode: Int32 = -1
  package var signal: Int32 = 0
  package var rung = LAUTER_RUNG_NONE
  package var coreDumped = false
  package var wallMicroseconds: UInt64 = 0
  package var userMicroseconds: UInt64 = 0
  package var systemMicroseconds: UInt64 = 0
  package var peakBytes: UInt64 = 0
  package var label = ""
  package var why = ""
  package var stderrTail: [UInt8] = []
  package var missing = ""
  package var denials: [Denial] = []
  package var memoryBy = ""
  package var treePeakBytes: UInt64 = 0
}

/// "SIGSEGV (segmentation fault)".
func signalText(_ signal: Int32) -> String {
  switch signal {
  case 1: "SIGHUP"
  case 2: "SIGINT (interrupt)"
  case 3: "SIGQUIT"
  case 4: "SIGILL (illegal instruction)"
  case 6: "SIGABRT (abort)"
  case 7: "SIGBUS (bus error)"
  case 8: "SIGFPE (arithmetic error)"
  case 9: "SIGKILL (killed)"
  case 11: "SIGSEGV (segmentation fault)"
  case 13: "SIGPIPE (broken pipe)"
  case 14: "SIGALRM"
  case 15: "SIGTERM (terminated)"
  case 24: "SIGXCPU (CPU time limit)"
  case 25: "SIGXFSZ (file size limit)"
  case 31: "SIGSYS (refused system call)"
  default: "signal \(signal)"
  }
}

/// "1.5 s", "10 min".
func durationText(milliseconds: UInt64) -> String {
  if milliseconds < 1000 { return "\(milliseconds) ms" }
  if milliseconds % 60_000 == 0 { return "\(milliseconds / 60_000) min" }
  let tenths = milliseconds % 1000 / 100
  return tenths == 0 ? "\(milliseconds / 1000) s" : "\(milliseconds / 1000).\(tenths) s"
}

/// "64 MiB", "1500 KiB", "1000 bytes": exact.
func byteText(_ bytes: UInt64) -> String {
  if bytes == 1 { return "1 byte" }
  if bytes % (1 << 30) == 0 { return "\(bytes >> 30) GiB" }
  if bytes % (1 << 20) == 0 { return "\(bytes >> 20) MiB" }
  return bytes % (1 << 10) == 0 ? "\(bytes >> 10) KiB" : "\(bytes) bytes"
}
