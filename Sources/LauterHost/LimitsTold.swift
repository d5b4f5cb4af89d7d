// SPDX-License-Identifier: Apache-2.0

#if canImport(LauterPolicy)
  package import LauterPolicy
#endif

/// The limits of a policy that a report's sentence may name: milliseconds and bytes, 0 for none.
package struct LimitsTold: Sendable {
  package var wall: UInt64
  package var cpu: UInt64
  package var output: UInt64
  package var file: UInt64
  package var memory: UInt64

  package init(
    wall: UInt64 = 0, cpu: UInt64 = 0, output: UInt64 = 0, file: UInt64 = 0, memory: UInt64 = 0
  ) {
    self.wall = wall
    self.cpu = cpu
    self.output = output
    self.file = file
    self.memory = memory
  }

  package init(_ policy: Policy) {
    self.init(
      wall: policy.wallMilliseconds ?? 0, cpu: policy.cpuMilliseconds ?? 0,
      output: policy.outputBytes ?? 0, file: policy.fileBytes ?? 0,
      memory: policy.memoryBytes ?? 0)
  }
}
