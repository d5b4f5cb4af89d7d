// SPDX-License-Identifier: Apache-2.0

#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// The descriptors of a worker that the host watches, as the low bits of an epoll key.
enum Watched: UInt64, CaseIterable {
  // The session first: what was written to the streams before a frame was sent is then visible when they are looked at.
  case session = 0
  case control = 1
  case stdout = 2
  case stderr = 3
  case stdin = 4
  case pidfd = 5
}

/// One worker, as the host knows it. Guarded by its host's lock.
final class Worker {
  let id: UInt64
  let cookie: UInt64
  let policy: Policy
  let launch: Launch
  let plan: Plan
  var missing: [String]
  let hasSession: Bool
  let interruptsGroup: Bool
  let spawnedAt: UInt64
  var initPid: Int32 = 0
  /// The control groups that hold its limits.
  var groups = WorkerGroups()

  var lifecycle: Lifecycle
  var abilities: Greeting.Abilities = []
  var runtime = ""
  /// The largest message that it takes.
  var messageMax = Wire.messageMax

  // One owner each; closed when the worker is gone, or the stream ends.
  var session: OwnedFD?
  var control: OwnedFD?
  var stdout: OwnedFD?
  var stderr: OwnedFD?
  var stdin: OwnedFD?
  var pidfd: OwnedFD?
  /// Control, streams and pidfd as one, for those who sleep for this worker alone.
  var others: OwnedFD?
  let page: ControlPage?
  /// Memory shared with the worker.
  let arenaMap: ArenaMap?
  /// The half that we write, once the worker said that it reads there.
  var arena: ArenaWriter?
  /// When what it took up is given back, unless it is used again before.
  var arenaIdleUntil: UInt64?
  var arenaHalf: UInt64? { arenaMap?.half }

  var inbox = Inbox()
  var outbox = Outbox()
  var stdinQueue: [UInt8] = []
  var stdinEnds = false

  /// The host's end of the terminal is still to come: `stdout` and `stdin` then.
  var awaitsTerminal: Bool
  /// As the host wished last.
  var terminalSize: (rows: UInt16, columns: UInt16)?
  /// Calls that were not its to make, each kind once.
  var denials: [Denial] = []
  /// As far as the host knows.
  var isSuspended = false
  /// Its SUSPENDED event, until that is taken.
  var suspension: Event?

  var calls: [Call] = []
  /// Calls from the worker that wait for the host's answer: the host's id and the worker's.
  var incoming: [(host: UInt64, wire: UInt64)] = []

  /// Those that are not over, by their ids over the wire.
  var channels: [UInt64: Channel] = [:]
  /// The highest id that the worker gave one.
  var lastChannel: UInt64 = 0
  /// They have something to send, and the session takes no more now.
  var channelsAwaitingRoom: [Channel] = []
  /// Bytes that its channels were let beyond their windows.
  var channelExcess: UInt64 = 0

  /// Descriptors that the program wants from within.
  var openings: [Opening] = []
  var nextOpening: UInt32 = 1

  /// Captured output that nobody has taken: oldest first, from `streamHead` on.
  var streamEvents: [Event] = []
  var streamHead = 0
  var streamBytes = 0
  var droppedStdout: Event?
  var droppedStderr: Event?
  var stderrTail: [UInt8] = []
  /// How often the session was read, by whichever thread.
  var sessionReads: UInt64 = 0
  /// What is being read was in the session when its streams were seen to be empty.
  var streamsWereEmpty = false
  /// Bytes of output that the policy lets it make yet; nil without a limit.
  var outputLeft: UInt64?
  /// Messages that nobody has taken.
  var messageBytes = 0
  var messageCount = 0
  /// The session is not read while too much is untaken.
  var isFull = false
  /// Nor while it does not read the answers to its own calls.
  var isChoked = false
  /// It takes nothing any more.
  var isDeaf = false
  /// It has ended, and what it sent is taken in.
  var isDraining = false
  /// It is among the host's `pausedSessions`.
  var awaitsTurn = false
  var isReading: Bool { !isStuffed && !isChoked }
  /// It has sent more than is kept: the program must take its events first.
  var isStuffed: Bool { isFull || untakenData > Bounds.untakenData }
  /// Messages of its channels that nobody has taken.
  var untakenData = 0

  /// Who sleeps for this worker.
  var waiters: [Waiter] = []
  /// Its EXITED event, until that is taken.
  var ending: Event?
  /// The earliest entry in the host's timers, if any.
  var armedAt = UInt64.max

  init(
    id: UInt64, cookie: UInt64, policy: Policy, launch: Launch, plan: Plan, missing: [String],
    hasSession: Bool, page: ControlPage?, arena: ArenaMap?, now: UInt64
  ) {
    self.id = id
    self.cookie = cookie
    self.policy = policy
    self.launch = launch
    self.plan = plan
    self.missing = missing
    self.hasSession = hasSession
    self.page = page
    arenaMap = arena
    interruptsGroup = policy.isConfined
    outputLeft = policy.outputBytes
    awaitsTerminal = launch.terminal != nil
    spawnedAt = now
    lifecycle = Lifecycle(
      hasSession: hasSession, now: now, readyMilliseconds: launch.readyTimeoutMilliseconds)
  }

  func descriptor(_ watched: Watched) -> Int32 {
    switch watched {
    case .session: session.raw
    case .control: control.raw
    case .stdout: stdout.raw
    case .stderr: stderr.raw
    case .stdin: stdin.raw
    case .pidfd: pidfd.raw
    }
  }

  func key(_ watched: Watched) -> UInt64 { id << 3 | watched.rawValue }

  func close(_ watched: Watched) {
    switch watched {
    case .session: session = nil
    case .control: control = nil
    case .stdout: stdout = nil
    case .stderr: stderr = nil
    case .stdin: stdin = nil
    case .pidfd: pidfd = nil
    }
  }

  /// Leaves low numbers to the host's program, which may use select(2), and to the next launch: see `place_descriptors`
  /// in CLaunch. Not once they are watched: a watch belongs to a number.
  func clearLowDescriptors() {
    session?.move(from: Worker.leastDescriptor)
    control?.move(from: Worker.leastDescriptor)
    stdout?.move(from: Worker.leastDescriptor)
    stderr?.move(from: Worker.leastDescriptor)
    stdin?.move(from: Worker.leastDescriptor)
    pidfd?.move(from: Worker.leastDescriptor)
  }

  /// Above what most programs open, and below the usual limit of 1,024.
  static let leastDescriptor: Int32 = 256

  /// When something of this worker is due.
  var deadline: UInt64? {
    var earliest = min(arenaIdleUntil ?? .max, dutyDeadline ?? .max)
    for opening in openings {
      if let time = opening.deadline { earliest = min(earliest, time) }
      // Whether a connection is there is looked at now and then: it is at once, unless who listens has a full queue.
      if opening.pending != nil { earliest = min(earliest, lx_now() + 10_000_000) }
    }
    return earliest == .max ? nil : earliest
  }

  private var dutyDeadline: UInt64? {
    var earliest: UInt64?
    for call in calls {
      if let time = call.deadline, time < earliest ?? .max { earliest = time }
    }
    let call = earliest.flatMap { lifecycle.clockTime(of: $0) }
    guard let call, let own = lifecycle.deadline else { return call ?? lifecycle.deadline }
    return min(call, own)
  }

  func call(_ id: UInt64) -> Call? { calls.first { $0.id == id } }

  func remove(_ call: Call) {
    if let index = calls.firstIndex(where: { $0 === call }) { calls.remove(at: index) }
    page?.release(call.slot)
  }

  func order(_ order: Control.Order) {
    guard control != nil else { return }
    let packet = order.encoded()
    // A full socket means that init is gone or hopeless: its pidfd tells.
    _ = packet.withUnsafeBufferPointer { lx_send_now(control.raw, $0.baseAddress, $0.count) }
  }

  /// Kills init, and by that everything.
  func destroy() {
    if pidfd != nil { _ = lx_pidfd_send_signal(pidfd.raw, 9) }
  }
}

extension Optional where Wrapped == OwnedFD {
  /// The number, -1 for none.
  var raw: Int32 {
    borrowing get {
      switch self {
      case .some(let fd): fd.raw
      case .none: -1
      }
    }
  }
}
