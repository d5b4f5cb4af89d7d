// SPDX-License-Identifier: Apache-2.0
import Glibc

/// What the C library says about an errno, in lower case.
func errorText(_ number: Int32) -> String {
  guard let text = strerror(number).map({ String(cString: $0) }) else { return "error \(number)" }
  return text.prefix(1).lowercased() + text.dropFirst()
}

/// Print on standard error.
func complain(_ text: String) { writeAll(Array(text.utf8), to: STDERR_FILENO) }

/// Write to a stream that nobody may read any more: what it does not take is lost.
func writeAll(_ bytes: [UInt8], to descriptor: Int32) {
  var rest = bytes[...]
  while !rest.isEmpty {
    let written = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    if written < 0, errno == EAGAIN {
      var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      _ = poll(&wait, 1, -1)
      continue
    }
    if written < 0, errno != EINTR { return }
    rest = rest.dropFirst(max(0, written))
  }
}

/// The whole of a file.
func readFile(_ path: String, called name: String) throws(Failure) -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw Failure("\(name): \(errorText(errno))") }
  defer { close(descriptor) }
  var bytes: [UInt8] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while true {
    let count = read(descriptor, &buffer, buffer.count)
    if count < 0, errno == EINTR { continue }
    guard count >= 0 else { throw Failure("\(name): \(errorText(errno))") }
    if count == 0 { return bytes }
    bytes += buffer.prefix(count)
  }
}

/// An environment variable of ours.
func environmentVariable(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }
}

/// Seconds on the monotonic clock.
func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
