// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Does what a script says, at a worker's end of a session.
final class FakeWorker {
  private static let session: Int32 = 3
  private static let arenaFile: Int32 = 5
  static let frameMax = 65_536

  private let name: String
  private var variables: [String: UInt64] = [:]
  private var pace = 0.0
  private var stopEnds = true
  private var releases = true
  private var arena: UnsafeMutableRawPointer?
  /// What has been read, and not looked at.
  private var input: [UInt8] = []
  private var line = 0

  /// - Parameter name: what errors call the script.
  init(called name: String) { self.name = name }

  private func failure(_ what: String) -> Failure { Failure("\(name):\(line): \(what)") }

  /// Reads the host's greeting and does all of it.
  func run(_ script: FakeScript) throws(Failure) {
    var status = stat()
    guard fstat(FakeWorker.session, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK else {
      throw Failure(
        "descriptor 3 is no session: a fake worker is started by a host, as a launch of kind \"worker\""
      )
    }
    variables = ["id": 1]
    guard let hello = try readFrame(within: 10), hello.kind == .hello, hello.payload.count >= 26
    else {
      throw Failure("the host has not greeted")
    }
    variables["half"] =
      UInt64(hello.payload[12..<16].reversed().reduce(0) { $0 << 8 | Int($1) }) << 20
    try run(script.lines)
  }

  private func run(_ lines: [FakeScript.Line]) throws(Failure) {
    for each in lines {
      line = each.number
      try run(each.doing)
    }
  }

  private func run(_ doing: FakeScript.Doing) throws(Failure) {
    switch doing {
    case .hello(let fields, let name): try hello(fields, name)
    case .message(let kind, let id, let name, let parent, let parts):
      try message(kind, of(id), name, of(parent), parts)
      if kind == .call { variables["id", default: 0] &+= 1 }
    case .frame(let kind, let fields, let items):
      let size = items.reduce(0) { $0 &+ self.size($1) }
      var header = integer(fields["size"].map(of) ?? size, 4)
      header += [kind.number] + integer(fields["flags"].map(of) ?? 0, 1)
      header += integer(fields["slot"].map(of) ?? 0, 2) + integer(fields["id"].map(of) ?? 0, 8)
      try write([.bytes(header)] + items, to: .session)
    case .write(let target, let items): try write(items, to: target)
    case .take(let kind, let within): try take(kind, within)
    case .place(let offset, let items): try place(of(offset), items)
    case .descriptors(let count): try sendDescriptors(of(count))
    case .block(let kind, let lines): try run(kind, lines)
    case .pace(let seconds): pace = seconds
    case .sleep(let seconds):
      if let seconds { usleep(UInt32(seconds * 1e6)) } else { while true { Glibc.pause() } }
    case .ignore("stop"): stopEnds = false
    case .ignore(let signal): Glibc.signal(fakeSignals[signal] ?? 0, SIG_IGN)
    case .keepPlaces: releases = false
    case .shut(let way): Glibc.shutdown(FakeWorker.session, way)
    case .close(let descriptors): for each in descriptors { Glibc.close(each) }
    case .truncate(let descriptor, let size):
      let outcome =
        ftruncate(descriptor, Int(truncatingIfNeeded: of(size))) == 0 ? "done" : errorText(errno)
      complain("truncate \(descriptor): \(outcome)\n")
    case .die(let signal):
      Glibc.signal(signal, SIG_DFL)
      kill(getpid(), signal)
      while true { Glibc.pause() }
    case .exit(let status): Glibc.exit(Int32(truncatingIfNeeded: of(status)))
    }
  }

  private func run(_ kind: FakeScript.Block, _ lines: [FakeScript.Line]) throws(Failure) {
    let outer = variables["n"]
    defer { variables["n"] = outer }
    switch kind {
    case .times(let count):
      let count = of(count)
      var n: UInt64 = 0
      while n < count {
        variables["n"] = n
        try run(lines)
        n += 1
      }
    case .forever:
      var n: UInt64 = 0
      while true {
        variables["n"] = n
        try run(lines)
        n &+= 1
      }
    case .fork:
      // Swift has no fork(2) to call by its name, for good reasons; here one process has one thread.
      typealias Fork = @convention(c) () -> Int32
      guard let symbol = dlsym(nil, "fork") else { throw failure("there is no fork") }
      let child = unsafeBitCast(symbol, to: Fork.self)()
      guard child >= 0 else { throw failure("fork: \(errorText(errno))") }
      if child == 0 {
        try run(lines)
        _exit(0)
      }
    }
  }

  // ------------------------------------------------------------------------------- values --

  private func of(_ value: FakeScript.Value) -> UInt64 {
    var sum: UInt64 = 0
    for (operation, term) in value.terms {
      let next: UInt64
      switch term {
      case .number(let number): next = number
      case .variable(let name): next = variables[name] ?? 0
      }
      switch operation {
      case "-": sum &-= next
      case "*": sum &*= next
      default: sum &+= next
      }
    }
    return sum
  }

  private func integer(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }

  private func size(_ item: FakeScript.Item) -> UInt64 {
    if case .zeros(let count) = item { return of(count) }
    return UInt64(bytes(item).count)
  }

  /// Of what is not zeros.
  private func bytes(_ item: FakeScript.Item) -> [UInt8] {
    switch item {
    case .bytes(let bytes): bytes
    case .zeros: []
    case .integer(let count, let value): integer(of(value), count)
    case .head(let parts, let name, let lane, let parent):
      integer(of(parts), 2) + integer(UInt64(name.count), 2) + integer(of(lane), 4)
        + integer(of(parent), 8) + name
    case .part(let type, let size): integer(UInt64(type.count), 2) + integer(of(size), 8) + type
    }
  }

  // ------------------------------------------------------------------------------ writing --

  private func hello(_ fields: [String: FakeScript.Value], _ name: String) throws(Failure) {
    let name = Array(name.utf8)
    func field(_ key: String, _ standard: UInt64, _ count: Int) -> [UInt8] {
      integer(fields[key].map(of) ?? standard, count)
    }
    var payload = field("magic", 0x5254_554C, 4) + field("lowest", 1, 2) + field("highest", 1, 2)
    payload += field("abilities", 0, 4) + field("arena", 0, 4) + field("largest", 1 << 30, 8)
    payload += integer(UInt64(name.count), 2) + name
    let header = integer(UInt64(payload.count), 4) + [1, 0, 0, 0] + integer(0, 8)
    try write([.bytes(header + payload)], to: .session)
  }

  /// A whole message, in frames as full as they may be.
  private func message(
    _ kind: FakeKind, _ id: UInt64, _ name: String, _ parent: UInt64, _ parts: [FakeScript.FakePart]
  ) throws(Failure) {
    var body: [FakeScript.Item] = [
      .head(
        parts: .init(UInt64(parts.count)), name: Array(name.utf8), lane: .init(0),
        parent: .init(parent))
    ]
    for part in parts { body.append(.part(type: part.type, size: .init(size(part.item)))) }
    body += parts.map(\.item)
    var left = body.reduce(0) { $0 + size($1) }
    var frame: [UInt8] = []
    func send() throws(Failure) {
      left -= UInt64(frame.count)
      let header =
        integer(UInt64(frame.count), 4) + [kind.number, left > 0 ? 1 : 0, 0, 0] + integer(id, 8)
      try write([.bytes(header + frame)], to: .session)
      frame.removeAll(keepingCapacity: true)
    }
    for item in body {
      var rest = bytes(item)[...]
      var zeros: UInt64 = 0
      if case .zeros(let count) = item { zeros = of(count) }
      while !rest.isEmpty || zeros > 0 {
        let room = FakeWorker.frameMax - frame.count
        if zeros > 0 {
          let count = Int(min(zeros, UInt64(room)))
          frame.append(contentsOf: repeatElement(0, count: count))
          zeros -= UInt64(count)
        } else {
          frame += rest.prefix(room)
          rest = rest.dropFirst(room)
        }
        if frame.count == FakeWorker.frameMax { try send() }
      }
    }
    if !frame.isEmpty || left > 0 { try send() }
  }

  private func write(_ items: [FakeScript.Item], to target: FakeScript.Target) throws(Failure) {
    for item in items {
      if case .zeros(let count) = item {
        let block = [UInt8](repeating: 0, count: FakeWorker.frameMax)
        var left = of(count)
        while left > 0 {
          let piece = Int(min(left, UInt64(block.count)))
          try put(block[..<piece], target)
          left -= UInt64(piece)
        }
      } else {
        try put(bytes(item)[...], target)
      }
    }
  }

  private func put(_ bytes: ArraySlice<UInt8>, _ target: FakeScript.Target) throws(Failure) {
    var rest = bytes
    while !rest.isEmpty {
      let isSlow = pace > 0 && target == .session
      let next = isSlow ? rest.prefix(1) : rest
      let count = next.withUnsafeBytes {
        target == .session
          ? Glibc.send(FakeWorker.session, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
          : Glibc.write(target.rawValue, $0.baseAddress, $0.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw failure("nobody takes what is written: \(errorText(errno))") }
      rest = rest.dropFirst(count)
      if isSlow { usleep(UInt32(pace * 1e6)) }
    }
  }

  /// Copies of the session itself, with frames of a kind that means nothing.
  private func sendDescriptors(_ count: UInt64) throws(Failure) {
    var left = count
    while left > 0 {
      let some = Int(min(left, 253))  // SCM_MAX_FD
      var control =
        integer(UInt64(16 + 4 * some), 8) + integer(UInt64(SOL_SOCKET), 4) + integer(1, 4)
      for _ in 0..<some { control += integer(UInt64(FakeWorker.session), 4) }
      control += [UInt8](repeating: 0, count: control.count % 8)
      var frame = integer(0, 4) + [200, 0, 0, 0] + integer(0, 8)
      let sent = control.withUnsafeMutableBytes { control in
        frame.withUnsafeMutableBytes { frame in
          var vector = iovec(iov_base: frame.baseAddress, iov_len: frame.count)
          return withUnsafeMutablePointer(to: &vector) { vector in
            var message = msghdr()
            message.msg_iov = vector
            message.msg_iovlen = 1
            message.msg_control = control.baseAddress
            message.msg_controllen = control.count
            return sendmsg(FakeWorker.session, &message, Int32(MSG_NOSIGNAL))
          }
        }
      }
      guard sent == 16 else {
        // A host can have its kernel refuse them (Linux 6.16).
        complain("descriptors \(count): \(errorText(errno))\n")
        return
      }
      left -= UInt64(some)
    }
    complain("descriptors \(count): done\n")
  }

  private func place(_ offset: UInt64, _ items: [FakeScript.Item]) throws(Failure) {
    let whole = 2 * (variables["half"] ?? 0)
    guard whole > 0 else { throw failure("there is no arena") }
    if arena == nil {
      let map = mmap(nil, Int(whole), PROT_READ | PROT_WRITE, MAP_SHARED, FakeWorker.arenaFile, 0)
      guard let map, map != MAP_FAILED else { throw failure("the arena: \(errorText(errno))") }
      arena = map
    }
    var at = offset
    for item in items {
      let count = size(item)
      guard at <= whole, count <= whole - at else { throw failure("the arena ends at \(whole)") }
      let to = arena! + Int(at)
      if case .zeros = item {
        memset(to, 0, Int(count))
      } else {
        bytes(item).withUnsafeBytes { to.copyMemory(from: $0.baseAddress!, byteCount: $0.count) }
      }
      at += count
    }
  }

  // ------------------------------------------------------------------------------ reading --

  private struct Frame {
    var kind: FakeKind
    var flags: UInt8
    var slot: UInt64
    var id: UInt64
    var payload: [UInt8]
  }

  /// Reads until the last frame of this kind, or the end of the session.
  private func take(_ kind: FakeKind?, _ within: Double?) throws(Failure) {
    let deadline = within.map { monotonicSeconds() + $0 }
    while true {
      let left = deadline.map { max(0, $0 - monotonicSeconds()) }
      guard let frame = try readFrame(within: left) else {
        if kind != nil { Glibc.exit(0) }  // the host is gone
        return
      }
      if frame.flags & 2 != 0, releases {
        let header = integer(UInt64(frame.payload.count), 4) + [FakeKind.release.number, 0, 0, 0]
        try write([.bytes(header + integer(0, 8) + frame.payload)], to: .session)
      }
      if frame.flags & 1 != 0 { continue }
      if frame.kind == .call { (variables["call"], variables["slot"]) = (frame.id, frame.slot) }
      if frame.kind == .open { variables["channel"] = frame.id }
      if frame.kind == kind { return }
      if frame.kind == .stop, stopEnds { Glibc.exit(0) }
    }
  }

  /// Nil at the end of the session.
  private func readFrame(within seconds: Double?) throws(Failure) -> Frame? {
    guard try fill(16, seconds) else { return nil }
    let size = Int(input[0]) | Int(input[1]) << 8 | Int(input[2]) << 16 | Int(input[3]) << 24
    guard try fill(16 + size, seconds) else { return nil }
    func number(_ bytes: Range<Int>) -> UInt64 {
      input[bytes].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
    let frame = Frame(
      kind: FakeKind(input[4]), flags: input[5], slot: number(6..<8), id: number(8..<16),
      payload: Array(input[16..<(16 + size)]))
    input.removeFirst(16 + size)
    return frame
  }

  private func fill(_ count: Int, _ seconds: Double?) throws(Failure) -> Bool {
    let deadline = seconds.map { monotonicSeconds() + $0 }
    var buffer = [UInt8](repeating: 0, count: FakeWorker.frameMax)
    while input.count < count {
      if let deadline {
        var wait = pollfd(fd: FakeWorker.session, events: Int16(POLLIN), revents: 0)
        let left = max(0, deadline - monotonicSeconds())
        guard poll(&wait, 1, Int32(left * 1000) + 1) != 0 else {
          throw failure("it has not come within the time")
        }
      }
      let read = Glibc.read(FakeWorker.session, &buffer, min(buffer.count, count - input.count))
      if read < 0, errno == EINTR { continue }
      if read <= 0 { return false }
      input += buffer[..<read]
    }
    return true
  }
}
