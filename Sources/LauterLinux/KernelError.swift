// SPDX-License-Identifier: Apache-2.0

/// A system call that failed: which, and the errno.
package struct KernelError: Error, Equatable, Sendable {
  package var call: StaticString
  package var errno: Int32

  package init(call: StaticString, errno: Int32) {
    self.call = call
    self.errno = errno
  }

  package static func == (a: KernelError, b: KernelError) -> Bool { a.errno == b.errno }
}

/// The value of a shim, which returns a result or -errno.
@discardableResult
package func check(_ call: StaticString, _ result: Int) throws(KernelError) -> Int {
  if result < 0 { throw KernelError(call: call, errno: Int32(truncatingIfNeeded: -result)) }
  return result
}
