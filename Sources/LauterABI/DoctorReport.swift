// SPDX-License-Identifier: Apache-2.0

#if canImport(CLauter)
  import CLauter
#endif
#if canImport(LauterHost)
  import LauterHost
#endif

@_cdecl("lauter_doctor") @implementation
public func lauter_doctor(
  _ out: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ error: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  status(error) { () throws(HostError) in
    let out = try required(out, "json")
    let folders = ["/usr", "/tmp", environment("HOME"), "."].compactMap { $0 }
    let doctor = Doctor(searchPath: environment("PATH"), folders: folders)
    var json = JSONText()
    json.open("{")
    json.text("lauter", "\(libraryVersion)")
    json.number("abi", Int64(LAUTER_ABI_VERSION))
    json.text("status", verdict(doctor.status))
    json.open("[", "presets")
    for trial in doctor.trials { add(trial, to: &json) }
    json.close("]")
    json.open("[", "checks")
    for finding in doctor.findings { add(finding, to: &json) }
    json.close("]")
    json.close("}")
    out.pointee = allocateText(json.bytes)
    return doctor.status
  }
}

private func verdict(_ status: Int32) -> String {
  switch status {
  case 0: "full"
  case 1: "partial"
  default: "failed"
  }
}

private func add(_ trial: Doctor.Trial, to json: inout JSONText) {
  json.open("{")
  json.text("preset", trial.preset)
  json.text("status", verdict(trial.error != nil ? 2 : trial.missing.utf8.isEmpty ? 0 : 1))
  add("missing", trial.missing, separator: UInt8(ascii: "\n"), to: &json)
  if let failure = trial.error {
    json.open("{", "error")
    json.text("code", lauter_code_name(failure.code))
    json.number("errno", Int64(failure.errno))
    json.number("step", Int64(failure.step))
    json.text("subject", failure.subject)
    json.text("message", failure.message)
    json.close("}")
  } else {
    json.null("error")
  }
  json.close("}")
}

private func add(_ finding: DoctorFinding, to json: inout JSONText) {
  json.open("{")
  json.text("id", "\(finding.id)")
  json.text("purpose", "\(finding.purpose)")
  add("words", "\(finding.words)", separator: UInt8(ascii: " "), to: &json)
  let status: String =
    switch finding.status {
    case .ok: "ok"
    case .tolerated: "tolerated"
    case .missing: "missing"
    case .info: "info"
    }
  json.text("status", status)
  json.text("detail", finding.detail)
  if let diagnosis = finding.diagnosis {
    json.text("cause", diagnosis.cause)
    json.text("remedy", "\(diagnosis.remedy)")
  } else {
    json.null("cause")
    json.null("remedy")
  }
  json.close("}")
}

private func add(
  _ name: StaticString, _ words: String, separator: UInt8, to json: inout JSONText
) {
  json.open("[", name)
  for word in words.utf8.split(separator: separator) {
    json.text("", String(decoding: word, as: UTF8.self))
  }
  json.close("]")
}
