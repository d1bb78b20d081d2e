/** Bytes, as a caller may give them. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/** Only a buffer has this, of any realm; any object can have its name. */
const lengths = [ArrayBuffer, ...("SharedArrayBuffer" in globalThis ? [SharedArrayBuffer] : [])].flatMap((type) =>
  Object.getOwnPropertyDescriptor(type.prototype, "byteLength")?.get ?? []
)

const isBuffer = (input: unknown): input is ArrayBufferLike =>
  lengths.some((length) => Result.isSuccess(Result.try((): unknown => Reflect.apply(length, input, []))))

/**
 * The bytes of a view or of a buffer, whatever realm made it: a frame of a page, or a test runner's context, has a
 * `Uint8Array` of its own. None where it is something else, or was transferred elsewhere.
 */
export const bytesOf = (input: unknown): Uint8Array | undefined =>
  Result.getOrUndefined(Result.try(() =>
    ArrayBuffer.isView(input)
      ? new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
      : isBuffer(input)
      ? new Uint8Array(input)
      : undefined
  ))

/** A `Uint8Array`; any other view and any buffer are taken as well. */
const Bytes = Schema.declare(
  (input): input is Uint8Array => bytesOf(input) !== undefined,
  Schema.Uint8Array.ast.annotations
)

/** How bytes become base64. A client that puts it into the body later has something else stand for it. */
export class ToBase64 extends Context.Reference<(bytes: Uint8Array) => string>("effect-ash/schema/Bytes/ToBase64", {
  defaultValue: () => Base64.encode
}) {}

/** {@link Bytes} as base64 on the wire. */
export const BytesFromBase64 = Schema.String.pipe(
  Schema.decodeTo(Bytes, {
    decode: SchemaGetter.decodeBase64(),
    encode: SchemaGetter.transformEffect((bytes) => Effect.map(ToBase64, (encode) => encode(bytesOf(bytes) ?? bytes)))
  })
)
