// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif

@_cdecl("lauter_abi_version") @implementation
public func lauter_abi_version() -> UInt32 { LAUTER_ABI_VERSION }

@_cdecl("lauter_version") @implementation
public func lauter_version() -> UnsafePointer<CChar>? { constant(libraryVersion) }

/// A string that lives for ever.
func constant(_ text: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

private func errorObject(_ error: OpaquePointer?) -> ErrorObject? {
  guard let error else { return nil }
  return Unmanaged<ErrorObject>.fromOpaque(UnsafeRawPointer(error)).takeUnretainedValue()
}

@_cdecl("lauter_error_code") @implementation
public func lauter_error_code(_ error: OpaquePointer?) -> Int32 {
  errorObject(error)?.error.code ?? 0
}

@_cdecl("lauter_error_errno") @implementation
public func lauter_error_errno(_ error: OpaquePointer?) -> Int32 {
  errorObject(error)?.error.errno ?? 0
}

@_cdecl("lauter_error_step") @implementation
public func lauter_error_step(_ error: OpaquePointer?) -> Int32 {
  errorObject(error)?.error.step ?? 0
}

@_cdecl("lauter_error_subject") @implementation
public func lauter_error_subject(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  errorObject(error).map { UnsafePointer($0.subject.pointer) } ?? constant("")
}

@_cdecl("lauter_error_message") @implementation
public func lauter_error_message(_ error: OpaquePointer?) -> UnsafePointer<CChar>? {
  errorObject(error).map { UnsafePointer($0.message.pointer) } ?? constant("")
}

@_cdecl("lauter_error_free") @implementation
public func lauter_error_free(_ error: OpaquePointer?) { release(error, as: ErrorObject.self) }

@_cdecl("lauter_string_free") @implementation
public func lauter_string_free(_ string: UnsafeMutablePointer<CChar>?) { free(string) }

@_cdecl("lauter_code_name") @implementation
public func lauter_code_name(_ code: Int32) -> UnsafePointer<CChar>? {
  switch Int(code) {
  case LAUTER_OK: constant("LAUTER_OK")
  case LAUTER_ERROR_INVALID: constant("LAUTER_ERROR_INVALID")
  case LAUTER_ERROR_SYSTEM: constant("LAUTER_ERROR_SYSTEM")
  case LAUTER_ERROR_POLICY: constant("LAUTER_ERROR_POLICY")
  case LAUTER_ERROR_NOT_FOUND: constant("LAUTER_ERROR_NOT_FOUND")
  case LAUTER_ERROR_DENIED: constant("LAUTER_ERROR_DENIED")
  case LAUTER_ERROR_UNSUPPORTED: constant("LAUTER_ERROR_UNSUPPORTED")
  case LAUTER_ERROR_STALE: constant("LAUTER_ERROR_STALE")
  case LAUTER_ERROR_TIMEOUT: constant("LAUTER_ERROR_TIMEOUT")
  case LAUTER_ERROR_INTERRUPTED: constant("LAUTER_ERROR_INTERRUPTED")
  case LAUTER_ERROR_DIED: constant("LAUTER_ERROR_DIED")
  case LAUTER_ERROR_FAILED: constant("LAUTER_ERROR_FAILED")
  case LAUTER_ERROR_PROTOCOL: constant("LAUTER_ERROR_PROTOCOL")
  case LAUTER_ERROR_LIMIT: constant("LAUTER_ERROR_LIMIT")
  case LAUTER_ERROR_FORKED: constant("LAUTER_ERROR_FORKED")
  case LAUTER_ERROR_NOT_EXECUTABLE: constant("LAUTER_ERROR_NOT_EXECUTABLE")
  case LAUTER_ERROR_LAUNCH: constant("LAUTER_ERROR_LAUNCH")
  case LAUTER_ERROR_STATE: constant("LAUTER_ERROR_STATE")
  default: constant("unknown")
  }
}
