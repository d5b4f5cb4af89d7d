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

// MARK: Policy

/// What a `lauter_policy *` points to.
final class PolicyObject {
  var policy: Policy
  init(_ policy: Policy) { self.policy = policy }
}

/// The caller's own variable, for `env NAME`.
func environment(_ name: String) -> String? {
  name.withCString { getenv($0) }.map { String(cString: $0) }
}

@_cdecl("lauter_policy_new") @implementation
public func lauter_policy_new(
  _ preset: UnsafePointer<CChar>?, _ policy: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let out = try required(policy, "policy")
    let name = try text(preset, "preset")
    try translating(to: LAUTER_ERROR_POLICY) { () throws(PolicyError) in
      out.pointee = OpaquePointer(
        Unmanaged.passRetained(PolicyObject(try Policy(preset: name))).toOpaque())
    }
    return 0
  }
}

@_cdecl("lauter_policy_set") @implementation
public func lauter_policy_set(
  _ policy: OpaquePointer?, _ word: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let object: PolicyObject = try object(policy, "policy")
    let word = try text(word, "word")
    let value = try text(value, "value")
    try translating(to: LAUTER_ERROR_POLICY) { () throws(PolicyError) in
      try object.policy.set(word, value, environment: environment)
    }
    return 0
  }
}

@_cdecl("lauter_policy_parse") @implementation
public func lauter_policy_parse(
  _ policy: OpaquePointer?, _ words: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let object: PolicyObject = try object(policy, "policy")
    let words = try text(words, "text")
    try translating(to: LAUTER_ERROR_POLICY) { () throws(PolicyError) in
      try object.policy.parse(words, environment: environment)
    }
    return 0
  }
}

@_cdecl("lauter_policy_print") @implementation
public func lauter_policy_print(
  _ policy: OpaquePointer?, _ out: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let object: PolicyObject = try object(policy, "policy")
    try required(out, "text").pointee = allocateText(object.policy.text.utf8)
    return 0
  }
}

@_cdecl("lauter_policy_check") @implementation
public func lauter_policy_check(
  _ policy: OpaquePointer?, _ word: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?,
  _ why: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let object: PolicyObject = try object(policy, "policy")
    let word = try text(word, "word")
    let value = try text(value, "value")
    let refusal = try translating(to: LAUTER_ERROR_POLICY) { () throws(PolicyError) in
      try object.policy.check(word, value)
    }
    why?.pointee = refusal.map { allocateText($0.utf8) }
    return refusal == nil ? 1 : 0
  }
}

@_cdecl("lauter_policy_free") @implementation
public func lauter_policy_free(_ policy: OpaquePointer?) { release(policy, as: PolicyObject.self) }

// MARK: Launch

/// What a `lauter_launch *` points to.
final class LaunchObject {
  var launch: Launch
  init(_ launch: Launch) { self.launch = launch }
}

@_cdecl("lauter_launch_new") @implementation
public func lauter_launch_new(
  _ kind: UnsafePointer<CChar>?, _ launch: UnsafeMutablePointer<OpaquePointer?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let out = try required(launch, "launch")
    let kind = try text(kind, "kind")
    try translating(to: LAUTER_ERROR_INVALID) { () throws(PolicyError) in
      var launch = try Launch(kind: kind)
      if let path = environment("PATH") { launch.searchPath = path }
      launch.callerHome = environment("HOME")
      if let folder = environment("TMPDIR"), !folder.isEmpty { launch.callerTemporary = folder }
      out.pointee = OpaquePointer(Unmanaged.passRetained(LaunchObject(launch)).toOpaque())
    }
    return 0
  }
}

@_cdecl("lauter_launch_set") @implementation
public func lauter_launch_set(
  _ launch: OpaquePointer?, _ property: UnsafePointer<CChar>?, _ value: UnsafePointer<CChar>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let object: LaunchObject = try object(launch, "launch")
    let property = try text(property, "property")
    let value = try text(value, "value")
    try translating(to: LAUTER_ERROR_INVALID) { () throws(PolicyError) in
      try object.launch.set(property, value)
    }
    return 0
  }
}

@_cdecl("lauter_launch_free") @implementation
public func lauter_launch_free(_ launch: OpaquePointer?) { release(launch, as: LaunchObject.self) }

@_cdecl("lauter_policy_explain") @implementation
public func lauter_policy_explain(
  _ policy: OpaquePointer?, _ launch: OpaquePointer?,
  _ out: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let policy: PolicyObject = try object(policy, "policy")
    let launch: LaunchObject = try object(launch, "launch")
    let out = try required(out, "text")
    let plan = try Host.make().explain(
      policy.policy, launch.launch, runtimeDirectory: runtimeDirectory(for: launch.launch))
    out.pointee = allocateText(plan.utf8)
    return 0
  }
}

/// The folder of the Python runtime that ships with the library, in `lauter/runtime` beside it; nothing for what needs
/// none.
func runtimeDirectory(for launch: Launch) throws(HostError) -> String {
  guard launch.kind == .python else { return "" }
  var errno: Int32 = 0
  guard let path = lx_object_directory(&errno) else {
    throw .noRuntime(errno)
  }
  defer { lx_free(path) }
  return String(cString: path) + "/lauter/runtime/python"
}
