// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  public import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterHost)
  import LauterHost
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

/// What a `lauter_event` owns: everything its pointers point to.
private final class EventOwner: PartKeeper {
  let event: Event
  let error: ErrorObject?
  var texts: [CText] = []
  let report: UnsafeMutablePointer<lauter_report>?
  /// Of an event that is no message's.
  let parts: UnsafeMutablePointer<lauter_part>?
  let partCount: Int

  init(_ event: Event) {
    self.event = event
    error = event.error.map { ErrorObject($0) }
    report = event.report == nil ? nil : .allocate(capacity: 1)
    partCount = event.kind == LAUTER_EVENT_STREAM ? 1 : event.denial == nil ? 0 : 2
    parts = partCount == 0 ? nil : .allocate(capacity: partCount)
    super.init()
    if let report, let value = event.report { report.initialize(to: cReport(value)) }
    guard let parts else { return }
    if let denial = event.denial {
      parts.initialize(to: part(constant("text/plain"), Array(denial.sentence.utf8)))
      var json = JSONText()
      json.add(denial)
      (parts + 1).initialize(to: part(constant("application/json"), json.bytes))
    } else {
      parts.initialize(to: part(constant("application/octet-stream"), event.bytes))
    }
  }

  private func part(_ type: UnsafePointer<CChar>, _ bytes: [UInt8]) -> lauter_part {
    lauter_part(type: type, data: text(bytes), size: bytes.count)
  }

  deinit {
    report?.deallocate()
    parts?.deallocate()
  }

  /// Bytes with a place that stays.
  private func text(_ bytes: [UInt8]) -> UnsafeRawPointer {
    let copy = malloc(bytes.count + 1)!
    bytes.withUnsafeBytes {
      copy.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(copy), byteCount: bytes.count)
    }
    texts.append(CText(adopting: copy))
    return UnsafeRawPointer(copy)
  }

  func name(_ text: String) -> UnsafePointer<CChar> {
    let copy = CText(text)
    texts.append(copy)
    return UnsafePointer(copy.pointer)
  }

  private func cReport(_ value: Report) -> lauter_report {
    var report = lauter_report()
    report.size = UInt32(MemoryLayout<lauter_report>.size)
    report.reason = UInt32(value.reason)
    report.exit_code = value.exitCode
    report.signal = value.signal
    report.rung = UInt32(value.rung)
    report.core_dumped = value.coreDumped ? 1 : 0
    report.wall_us = value.wallMicroseconds
    report.cpu_user_us = value.userMicroseconds
    report.cpu_system_us = value.systemMicroseconds
    report.peak_bytes = value.peakBytes
    report.label = name(value.label)
    report.why = name(value.why)
    report.missing = name(value.missing)
    var denied = JSONText()
    denied.open("[")
    for denial in value.denials { denied.add(denial) }
    denied.close("]")
    report.memory_by = name(value.memoryBy)
    report.tree_peak_bytes = value.treePeakBytes
    report.denied = name(String(decoding: denied.bytes, as: UTF8.self))
    let tail = CText(value.stderrTail)
    texts.append(tail)
    report.stderr_tail = UnsafePointer(tail.pointer)
    return report
  }
}

/// The event that the caller hands in, made empty.
func emptied(
  _ event: UnsafeMutablePointer<lauter_event>?
) throws(HostError) -> UnsafeMutablePointer<lauter_event> {
  guard let event else { throw invalid("event", "event is NULL") }
  guard event.pointee.size == UInt32(MemoryLayout<lauter_event>.size) else {
    throw invalid(
      "event",
      "event.size is \(event.pointee.size), but this library's lauter_event has \(MemoryLayout<lauter_event>.size) bytes"
    )
  }
  lauter_event_clear(event)
  return event
}

func fill(_ out: UnsafeMutablePointer<lauter_event>, _ event: Event) {
  let owner = EventOwner(event)
  out.pointee.kind = UInt32(event.kind)
  out.pointee.worker = event.worker
  out.pointee.worker_cookie = event.workerCookie
  out.pointee.call = event.call
  out.pointee.call_cookie = event.callCookie
  out.pointee.parent = event.parent
  out.pointee.channel = event.channel
  out.pointee.channel_cookie = event.channelCookie
  out.pointee.descriptor = event.descriptor?.raw ?? -1
  out.pointee.status = event.status
  out.pointee.stream = UInt32(event.stream)
  out.pointee.dropped = event.dropped
  if let message = event.message {
    out.pointee.name = message.name
    // One layout under two names, see `outgoing`.
    out.pointee.parts =
      message.partCount == 0
      ? nil
      : UnsafeRawPointer(message.parts.baseAddress!).assumingMemoryBound(to: lauter_part.self)
    out.pointee.part_count = message.partCount
  } else if let parts = owner.parts {
    out.pointee.parts = UnsafePointer(parts)
    out.pointee.part_count = owner.partCount
    if let denial = event.denial { out.pointee.name = owner.name(denial.name) }
  } else if event.kind == LAUTER_EVENT_READY {
    out.pointee.name = owner.name(event.runtime)
  }
  out.pointee.error = owner.error.map { OpaquePointer(Unmanaged.passUnretained($0).toOpaque()) }
  out.pointee.report = UnsafePointer(owner.report)
  out.pointee.owner = Unmanaged.passRetained(owner).toOpaque()
}

@_cdecl("lauter_event_clear") @implementation
public func lauter_event_clear(_ event: UnsafeMutablePointer<lauter_event>?) {
  guard let event else { return }
  if let owner = event.pointee.owner { Unmanaged<EventOwner>.fromOpaque(owner).release() }
  let size = event.pointee.size
  event.pointee = lauter_event()
  event.pointee.size = size
  event.pointee.name = constant("")
  event.pointee.descriptor = -1
}

@_cdecl("lauter_part_retain") @implementation
public func lauter_part_retain(
  _ event: UnsafePointer<lauter_event>?, _ index: Int,
  _ kept: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    guard let event = event?.pointee else { throw invalid("event", "event is NULL") }
    let out = try required(kept, "kept")
    guard index >= 0, index < event.part_count, let owner = event.owner else {
      throw invalid(
        "index", "the event has \(event.part_count) parts, none with the index \(index)")
    }
    _ = Unmanaged<EventOwner>.fromOpaque(owner).retain()
    out.pointee = OpaquePointer(owner)
    return 0
  }
}

@_cdecl("lauter_part_release") @implementation
public func lauter_part_release(_ kept: OpaquePointer?) {
  guard let kept else { return }
  Unmanaged<PartKeeper>.fromOpaque(UnsafeRawPointer(kept)).release()
}

@_cdecl("lauter_event_take_descriptor") @implementation
public func lauter_event_take_descriptor(_ event: UnsafeMutablePointer<lauter_event>?) -> Int32 {
  guard let event, let owner = event.pointee.owner else { return -1 }
  event.pointee.descriptor = -1
  return Unmanaged<EventOwner>.fromOpaque(owner).takeUnretainedValue().event.descriptor?.take()
    ?? -1
}

@_cdecl("lauter_report_json") @implementation
public func lauter_report_json(
  _ report: UnsafePointer<lauter_report>?,
  _ out: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    guard let report = report?.pointee else { throw invalid("report", "report is NULL") }
    let out = try required(out, "text")
    var json = JSONText()
    json.open("{")
    json.text("reason", reasonName(report.reason))
    json.text("why", report.why)
    json.number("exit_code", Int64(report.exit_code))
    json.number("signal", Int64(report.signal))
    json.text("rung", rungName(report.rung))
    json.flag("core_dumped", report.core_dumped != 0)
    json.number("wall_us", Int64(clamping: report.wall_us))
    json.number("cpu_user_us", Int64(clamping: report.cpu_user_us))
    json.number("cpu_system_us", Int64(clamping: report.cpu_system_us))
    json.number("peak_bytes", Int64(clamping: report.peak_bytes))
    json.text("label", report.label)
    json.text("stderr_tail", report.stderr_tail)
    json.text("missing", report.missing)
    json.raw("denied", report.denied)
    json.number("tree_peak_bytes", Int64(clamping: report.tree_peak_bytes))
    json.text("memory_by", report.memory_by)
    json.close("}")
    out.pointee = allocateText(json.bytes)
    return 0
  }
}

private func reasonName(_ reason: UInt32) -> UnsafePointer<CChar> {
  switch Int(reason) {
  case LAUTER_REASON_RUNNING: constant("running")
  case LAUTER_REASON_EXITED: constant("exited")
  case LAUTER_REASON_SIGNALED: constant("signaled")
  case LAUTER_REASON_STOPPED: constant("stopped")
  case LAUTER_REASON_KILLED: constant("killed")
  case LAUTER_REASON_LAUNCH: constant("launch")
  case LAUTER_REASON_PROTOCOL: constant("protocol")
  case LAUTER_REASON_WALL: constant("wall")
  case LAUTER_REASON_DEADLINE: constant("deadline")
  case LAUTER_REASON_CPU: constant("cpu")
  case LAUTER_REASON_OUTPUT: constant("output")
  case LAUTER_REASON_BLOCKED: constant("blocked")
  case LAUTER_REASON_MEMORY: constant("memory")
  default: constant("lost")
  }
}

private func rungName(_ rung: UInt32) -> UnsafePointer<CChar> {
  switch Int(rung) {
  case LAUTER_RUNG_ASKED: constant("asked")
  case LAUTER_RUNG_TERM: constant("term")
  case LAUTER_RUNG_KILL: constant("kill")
  default: constant("none")
  }
}
