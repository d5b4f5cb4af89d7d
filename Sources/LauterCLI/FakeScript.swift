// SPDX-License-Identifier: Apache-2.0

/// A script of `lauter fake-worker`: what to do, line by line.
struct FakeScript {
  struct Line {
    var number: Int
    var doing: Doing
  }

  indirect enum Doing {
    case hello([String: Value], name: String)
    case message(FakeKind, id: Value, name: String, parent: Value, [FakePart])
    case frame(FakeKind, [String: Value], [Item])
    case write(Target, [Item])
    case take(FakeKind?, within: Double?)
    case place(Value, [Item])
    case descriptors(Value)
    case block(Block, [Line])
    case pace(Double)
    case sleep(Double?)
    case ignore(String)
    case keepPlaces
    case shut(Int32)
    case close([Int32])
    case truncate(Int32, Value)
    case die(Int32)
    case exit(Value)
  }

  enum Target: Int32 { case stdout = 1, stderr = 2, session = 3 }
  enum Block { case times(Value), forever, fork }

  /// Bytes, as they are or to be made.
  enum Item {
    case bytes([UInt8])
    case zeros(Value)
    case integer(bytes: Int, Value)
    case head(parts: Value, name: [UInt8], lane: Value, parent: Value)
    case part(type: [UInt8], size: Value)
  }

  struct FakePart {
    var type: [UInt8]
    var item: Item
  }

  /// A number, as a sum and product of numbers and variables from left to right, modulo 2⁶⁴.
  struct Value {
    enum Term {
      case number(UInt64)
      case variable(String)
    }
    var terms: [(operation: Character, term: Term)]

    init(_ number: UInt64) { terms = [("+", .number(number))] }
    init(_ name: String) { terms = [("+", .variable(name))] }
    init(_ terms: [(operation: Character, term: Term)]) { self.terms = terms }
  }

  static let variables = ["call", "slot", "id", "channel", "half", "n"]

  let lines: [Line]

  /// - Parameter name: what errors call it.
  init(_ text: String, called name: String) throws(Failure) {
    var reader = FakeScriptReader(name: name)
    lines = try reader.read(text)
  }
}

/// A kind of frame: one of the protocol's, or any number.
struct FakeKind: Equatable {
  static let names: [(name: String, number: UInt8)] = [
    ("hello", 1), ("ready", 2), ("call", 3), ("output", 4), ("result", 5), ("failure", 6),
    ("stop", 8), ("interrupt", 9), ("release", 10), ("open", 16), ("data", 17), ("credit", 18),
    ("end", 19), ("cancel", 20), ("need", 21),
  ]
  /// More than a byte's worth is a lie that no frame can tell.
  var number: UInt8

  init(_ number: UInt8) { self.number = number }

  init?(_ word: String) {
    if let known = FakeKind.names.first(where: { $0.name == word }) {
      number = known.number
    } else if let code = UInt8(word) {
      number = code
    } else {
      return nil
    }
  }

  var name: String { FakeKind.names.first { $0.number == number }?.name ?? "\(number)" }

  static let hello = FakeKind(1)
  static let call = FakeKind(3)
  static let output = FakeKind(4)
  static let result = FakeKind(5)
  static let failure = FakeKind(6)
  static let stop = FakeKind(8)
  static let release = FakeKind(10)
  static let open = FakeKind(16)
}

/// Names of signals, as `kill -l` has them.
let fakeSignals: [String: Int32] = [
  "HUP": 1, "INT": 2, "QUIT": 3, "ILL": 4, "TRAP": 5, "ABRT": 6, "BUS": 7, "FPE": 8, "KILL": 9,
  "USR1": 10,
  "SEGV": 11, "USR2": 12, "PIPE": 13, "ALRM": 14, "TERM": 15, "STOP": 19,
]
