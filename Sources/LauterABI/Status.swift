// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterHost)
  import LauterHost
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif

/// What a `lauter_error *` points to.
final class ErrorObject {
  let error: HostError
  let subject: CText
  let message: CText

  init(_ error: HostError) {
    self.error = error
    subject = CText(error.subject)
    message = CText(error.message)
  }

  /// A reference for the C side, which owns it.
  func retained() -> OpaquePointer { OpaquePointer(Unmanaged.passRetained(self).toOpaque()) }
}

/// A C string that lives as long as its owner.
final class CText {
  let pointer: UnsafeMutablePointer<CChar>

  init(_ text: String) { pointer = allocateText(text.utf8) }
  init(_ bytes: [UInt8]) { pointer = allocateText(bytes) }
  init(adopting memory: UnsafeMutableRawPointer) {
    pointer = memory.assumingMemoryBound(to: CChar.self)
  }
  deinit { free(pointer) }
}

/// What a `lauter_kept *` points to: whatever keeps a part.
class PartKeeper {}

/// A NUL-terminated copy, to be freed with free(3). What follows a NUL inside is lost to C readers anyway.
func allocateText<C: Collection>(_ bytes: C) -> UnsafeMutablePointer<CChar>
where C.Element == UInt8 {
  let memory = malloc(bytes.count + 1)!.assumingMemoryBound(to: CChar.self)
  var at = 0
  for byte in bytes where byte != 0 {
    memory[at] = CChar(bitPattern: byte)
    at += 1
  }
  memory[at] = 0
  return memory
}

typealias ErrorSlot = UnsafeMutablePointer<OpaquePointer?>?

/// The one place where an error becomes a status and an owned object.
func status(_ slot: ErrorSlot, _ body: () throws(HostError) -> Int32) -> Int32 {
  do throws(HostError) {
    return try body()
  } catch {
    slot?.pointee = ErrorObject(error).retained()
    return error.code
  }
}

func invalid(_ subject: String, _ message: String) -> HostError {
  HostError(LAUTER_ERROR_INVALID, subject: subject, message)
}

/// The object behind a handle; NULL is the caller's mistake and gets an error, not a crash.
func object<T: AnyObject>(_ pointer: OpaquePointer?, _ name: String) throws(HostError) -> T {
  guard let pointer else { throw invalid(name, "\(name) is NULL") }
  return Unmanaged<T>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
}

func release<T: AnyObject>(_ pointer: OpaquePointer?, as type: T.Type) {
  guard let pointer else { return }
  Unmanaged<T>.fromOpaque(UnsafeRawPointer(pointer)).release()
}

/// A parameter through which a result leaves.
func required<T>(
  _ pointer: UnsafeMutablePointer<T>?, _ name: String
) throws(HostError) -> UnsafeMutablePointer<T> {
  guard let pointer else { throw invalid(name, "\(name) is NULL") }
  return pointer
}

/// Text that came in, as UTF-8.
func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws(HostError) -> String {
  guard let pointer else { throw invalid(name, "\(name) is NULL") }
  guard let text = String(validatingCString: pointer) else {
    throw invalid(name, "\(name) is not valid UTF-8")
  }
  return text
}

/// Runs what refuses a word or a value, and gives the refusal its code.
func translating<R>(to code: Int, _ body: () throws(PolicyError) -> R) throws(HostError) -> R {
  do throws(PolicyError) {
    return try body()
  } catch {
    throw HostError(code, subject: error.subject, error.message)
  }
}
