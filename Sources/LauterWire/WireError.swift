// SPDX-License-Identifier: Apache-2.0

/// How a worker broke the protocol.
package enum WireError: Error, Equatable, Sendable {
  case payloadTooLarge(UInt32)
  case unknownKind(UInt8)
  case unexpectedKind(FrameKind)
  case unknownFlags(UInt8)
  case notAGreeting
  case noCommonVersion(lowest: UInt16, highest: UInt16)
  case notReady
  case greetedTwice
  case headTooShort
  case tooManyParts(Int)
  case nameTooLong(Int)
  case nulInName
  case messageTooLarge
  case outOfMemory(UInt64)
  case sizesDoNotAddUp
  case tooManyUnfinished
  case unknownCall(UInt64)
  case repeatedCall(UInt64)
  case tooManyCalls(Int)
  case wrongSize(FrameKind, Int)
  case badPlaces
  case placeOutside(Place)
  case placesTooLarge(UInt64)
  case neverPlaced(Place)
  case notOurChannel(UInt64)
  case unknownChannel(UInt64)
  case repeatedChannel(UInt64)
  case tooManyChannels(Int)
  case creditOverrun(channel: UInt64, size: UInt64, credit: UInt64)
  case tooMuchCredit(UInt64)
  case dataAfterEnd(UInt64)

  /// What the worker did, as the end of a sentence that begins with "the worker broke the protocol:".
  package var description: String {
    switch self {
    case .payloadTooLarge(let size):
      "a frame of \(size) bytes, at most \(Wire.payloadMax) are allowed"
    case .unknownKind(let kind): "a frame of the unknown kind \(kind)"
    case .unexpectedKind(let kind): "a frame of kind \(kind.rawValue), which is not its to send"
    case .unknownFlags(let flags): "a frame with the unknown flags \(flags)"
    case .notAGreeting: "its first frame is not a greeting of this protocol"
    case .noCommonVersion(let lowest, let highest):
      "it speaks versions \(lowest) to \(highest), this library speaks \(Wire.version)"
    case .notReady: "a message before it was ready"
    case .greetedTwice: "it greeted twice"
    case .headTooShort: "a message whose head is cut short"
    case .tooManyParts(let count):
      "a message of \(count) parts, at most \(Wire.partsMax) are allowed"
    case .nameTooLong(let size): "a name of \(size) bytes, at most \(Wire.nameMax) are allowed"
    case .nulInName: "a name or media type with a NUL byte"
    case .messageTooLarge: "a message of more than 1 GiB"
    case .outOfMemory(let size): "a message of \(size) bytes, for which the host has no memory"
    case .sizesDoNotAddUp: "a message whose parts do not add up to its size"
    case .tooManyUnfinished: "more than \(Wire.unfinishedMax) unfinished messages"
    case .repeatedCall(let id): "a second call \(id) while the first waits for its answer"
    case .tooManyCalls(let most): "more than \(most) calls that wait for an answer"
    case .unknownCall(let id): "an answer to call \(id), which was never made"
    case .wrongSize(let kind, let size):
      "a frame of kind \(kind.rawValue) with \(size) bytes, which is not its size"
    case .badPlaces: "a frame that is to name places in the arena and does not, or may not"
    case .placeOutside(let place):
      "\(place.size) bytes at \(place.offset) of the arena, which is outside its half"
    case .placesTooLarge(let size):
      "\(size) bytes in the places of one frame, at most \(Wire.placedMax) are allowed"
    case .neverPlaced(let place):
      "a release of \(place.size) bytes at \(place.offset) of the arena, which were not placed"
    case .notOurChannel(let id): "a channel with the id \(id), which is not its to choose"
    case .unknownChannel(let id): "a frame of channel \(id), which there never was"
    case .repeatedChannel(let id): "a channel with the id \(id), which is not above those before"
    case .tooManyChannels(let most): "more than \(most) channels"
    case .creditOverrun(let channel, let size, let credit):
      "\(size) bytes on channel \(channel), which has credit for \(credit)"
    case .tooMuchCredit(let id): "more credit on channel \(id) than there can be"
    case .dataAfterEnd(let id): "data on channel \(id) after its end"
    }
  }
}
