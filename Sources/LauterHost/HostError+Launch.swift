// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(CLinux)
  import CLinux
#endif
#if canImport(LauterLinux)
  import LauterLinux
#endif
#if canImport(LauterPlan)
  import LauterPlan
#endif
#if canImport(LauterPolicy)
  import LauterPolicy
#endif
#if canImport(LauterSandbox)
  import LauterSandbox
#endif

extension HostError {
  /// Why there is no plan.
  init(_ error: SandboxError) {
    let code =
      switch error.kind {
      case .invalid: LAUTER_ERROR_INVALID
      case .system: LAUTER_ERROR_SYSTEM
      case .notFound: LAUTER_ERROR_NOT_FOUND
      case .denied: LAUTER_ERROR_DENIED
      case .unsupported: LAUTER_ERROR_UNSUPPORTED
      case .notExecutable: LAUTER_ERROR_NOT_EXECUTABLE
      }
    self.init(code, subject: error.subject, errno: error.errno, error.message)
  }

  /// What init's word means that `call` failed with `errno` in step `step`.
  init(launchStep step: UInt32, errno: Int32, of call: String, plan: Plan, policy: Policy) {
    let text = call.isEmpty ? errnoText(errno) : "\(call): \(errnoText(errno))"
    if Int(step) == plan.steps.count + 1, case .execute(let execution)? = plan.steps.last {
      let directory = execution.directory
      self.init(
        errno == ENOENT ? LAUTER_ERROR_NOT_FOUND : LAUTER_ERROR_DENIED, subject: directory,
        errno: errno,
        step: Int32(step), "working directory \(directory): \(text) inside the sandbox")
      return
    }
    guard step > 0, step <= plan.steps.count else {
      self.init(
        LAUTER_ERROR_LAUNCH, subject: "lauter-init", errno: errno,
        "lauter-init, before the first step: \(text)")
      return
    }
    let failed = plan.steps[Int(step) - 1]
    // The step of the execution is also the worker's birth: only the exec's own errno is about the program.
    guard case .execute(let execution) = failed, call.utf8.starts(with: "execve".utf8) else {
      let what = describe(failed)
      self.init(
        LAUTER_ERROR_LAUNCH, subject: what, errno: errno, step: Int32(step),
        "step \(step), \(what): \(text)")
      if let diagnosis = diagnose(.step(failed), errno, Circumstances.here()) {
        message += "; " + diagnosis.sentence
        if failed.isNamespaces { mentionBareness(policy) }
      }
      return
    }
    let program = execution.arguments.first ?? ""
    // A name was looked for along the PATH; a path may be outside what the worker sees.
    var hint: String?
    if program.utf8.first == UInt8(ascii: "/") {
      do throws(PolicyError) { hint = try policy.check("read", program) } catch { hint = nil }
    }
    let code: Int
    var why: String
    switch errno {
    case ENOENT, ENOTDIR:
      code = LAUTER_ERROR_NOT_FOUND
      why =
        program.utf8.contains(UInt8(ascii: "/"))
        ? "no such file, or its interpreter is missing" : "no such program on the worker's PATH"
    case EACCES, ENOEXEC, EPERM, ETXTBSY, ELIBBAD:
      code = LAUTER_ERROR_NOT_EXECUTABLE
      why = errno == ENOEXEC ? "not an executable format" : "not executable: \(errnoText(errno))"
    default:
      code = LAUTER_ERROR_LAUNCH
      why = text
    }
    if let hint { why += "; \(hint)" }
    self.init(
      code, subject: program, errno: errno, step: Int32(step), "execute \(program): \(why)")
  }
}
