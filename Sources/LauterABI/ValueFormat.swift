// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  public import CLauter
#endif
#if canImport(LauterHost)
  import LauterHost
#endif
#if canImport(LauterWire)
  import LauterWire
#endif

@_cdecl("lauter_value_check") @implementation
public func lauter_value_check(
  _ parts: UnsafePointer<lauter_part>?, _ count: Int, _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    guard let parts else { throw invalid("parts", "parts is NULL") }
    guard count >= 1, count <= LAUTER_PARTS_MAX else {
      throw invalid("part_count", "\(count) parts, a value has 1 to \(LAUTER_PARTS_MAX)")
    }
    for index in 0..<count {
      let part = parts[index]
      guard part.size >= 0, part.data != nil || part.size == 0 else {
        throw invalid("parts", "part \(index) has \(part.size) bytes at NULL")
      }
    }
    // One layout under two names: the header's for hosts, the wire's for the core.
    let raw = UnsafeRawPointer(parts).assumingMemoryBound(to: MessagePart.self)
    try Value.check(UnsafeBufferPointer(start: raw, count: count))
    return 0
  }
}
