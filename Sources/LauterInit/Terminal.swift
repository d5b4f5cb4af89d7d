// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif

/// Make a pseudo-terminal, of which the host gets the one end, and init and its worker the other: as standard streams
/// and as the controlling terminal of init's session.
///
/// What init risks by that: its terminal's signals (hangup, interrupt, stop) reach it where the worker makes it the
/// foreground, and the kernel keeps those that have no handler from PID 1. The session stays init's: only a session's
/// leader can give its terminal up, and only CAP_SYS_ADMIN can take it away.
func openTerminal(_ path: String, _ rows: UInt16, _ columns: UInt16) throws(KernelError) {
  let flags = O_RDWR | O_NOCTTY | O_CLOEXEC
  let master = OwnedFD(adopting: Int32(try check("open", lx_open(path, flags, 0))))
  try check("ioctl TIOCSPTLCK", lx_terminal_unlock(master.raw))
  let peer = OwnedFD(
    adopting: Int32(try check("ioctl TIOCGPTPEER", lx_terminal_peer(master.raw))))
  try check("ioctl TIOCSWINSZ", lx_terminal_resize(peer.raw, rows, columns))
  try check("tcsetattr", lx_terminal_utf8(peer.raw))
  try check("ioctl TIOCSCTTY", lx_terminal_control(peer.raw))
  for stream in Int32(0)...2 { try check("dup3", lx_dup3(peer.raw, stream, 0)) }
  let packet = Control.Notice.terminal.encoded()
  try check(
    "sendmsg", lx_send_descriptor(InitDescriptor.control, packet, packet.count, master.raw))
}

/// The job of a worker that has a terminal, seen by init, which keeps the terminal as its standard input.
struct TerminalJob {
  let worker: Int32
  /// What was the foreground before it was put into the background.
  private var group: Int32

  init(worker: Int32) {
    self.worker = worker
    group = worker
  }

  /// Make the worker's side the foreground of its terminal, or init, which reads nothing.
  mutating func setForeground(_ wanted: Bool) {
    let present = Int32(lx_terminal_group(0))
    let own = Int32(lx_getpid())
    if wanted {
      guard present == own else { return }
      // The job that it was may be gone.
      if lx_terminal_set_group(0, group) < 0 { _ = lx_terminal_set_group(0, worker) }
    } else if present != own {
      if present > 0 { group = present }
      _ = lx_terminal_set_group(0, own)
    }
  }
}
