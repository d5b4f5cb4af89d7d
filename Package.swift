// swift-tools-version: 6.2
// SwiftPM is for work and tests; CMake makes and installs what ships (see CMakeLists.txt).
import PackageDescription

// What of ours each part of the core may import: dependencies run one way (`scripts/check` holds it).
let settings: [SwiftSetting] = [
  .enableExperimentalFeature("CImplementation"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .treatAllWarnings(as: .error),
  .swiftLanguageMode(.v6),
  // One view of libc: our C headers ask for all of it, and Swift's own module of it must be built alike.
  .unsafeFlags(["-Xcc", "-D_GNU_SOURCE"]),
]

func core(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: name + "Tests", dependencies: [.byName(name: name)] + dependencies,
    swiftSettings: settings)
}

// Where CMake put the library that the command links.
let build = Context.environment["LAUTER_BUILD"] ?? "\(Context.packageDirectory)/build"

let package = Package(
  name: "lauter",
  products: [
    .executable(name: "lauter", targets: ["LauterCLI"]),
    // The whole library as full Swift, which the sanitizers can look into.
    .library(name: "lauter-full", type: .dynamic, targets: ["LauterABI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    .systemLibrary(name: "CLauter", path: "include"),
    .target(name: "CLinux"),
    // What runs between its clones is two processes in one memory: a thread to the thread sanitizer, with one's state.
    .target(
      name: "CLaunch",
      cSettings: [.define("CLAUNCH_BARE_CLONE"), .unsafeFlags(["-fno-sanitize=thread"])]),
    .target(
      name: "CSandbox",
      linkerSettings: [.linkedLibrary("seccomp"), .linkedLibrary("cap")]),

    core("LauterLinux", ["CLinux"]),
    core("LauterPlan", []),
    core("LauterPolicy", []),
    core("LauterWire", ["CLinux"]),
    core(
      "LauterSandbox",
      ["LauterLinux", "LauterPlan", "LauterPolicy", "CLinux", "CLaunch", "CSandbox"]),
    core(
      "LauterHost",
      [
        "LauterLinux", "LauterPlan", "LauterPolicy", "LauterSandbox", "LauterWire", "CLauter",
        "CLinux",
        "CLaunch",
      ]),
    core("LauterWorker", ["LauterLinux", "LauterWire", "CLauter", "CLinux"]),
    core(
      "LauterABI",
      ["CLauter", "LauterHost", "LauterPolicy", "LauterWire", "LauterWorker", "CLinux"]),

    .executableTarget(
      name: "LauterCLI",
      dependencies: [
        "CLauter", .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: [.swiftLanguageMode(.v6)],
      linkerSettings: [
        // The slashes keep room for what `cmake --install` puts there.
        .unsafeFlags([
          "-L\(build)/lib", "-llauter", "-Xlinker",
          "-rpath=$ORIGIN/../lib" + String(repeating: "/", count: 64),
        ])
      ]),

    tests("LauterPlan", []),
    tests("LauterPolicy", []),
    tests("LauterWire", []),
    tests("LauterSandbox", ["LauterPlan", "LauterPolicy"]),
    tests("LauterHost", ["LauterPlan", "LauterWire"]),
    tests("LauterCLI", []),
  ]
)
