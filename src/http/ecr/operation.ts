import type { z } from 'zod'
import type { Authority } from '../../access/authority.ts'
import type { Signer } from '../auth.ts'
import type { Exchange } from '../exchange.ts'
import { AwsError } from './errors.ts'
import { readInput } from './input.ts'

/** Who asks for an operation, by which exchange, and who decides whether they may. */
export type Call = Signer & { readonly authority: Authority; readonly exchange: Exchange }

/** Resolves to the members of the answer. Throws `AwsError`. */
export type Operation = (input: unknown, call: Call) => Promise<object>

export type OperationsByName = ReadonlyMap<string, Operation>

/** What an operation is made of: nothing of it runs before the input is read and the caller may. */
export type Definition<S extends z.ZodType> = {
  /** As policies name it: `ecr:DescribeRegistry`. */
  action: string
  input: S
  /** The ARN of what is asked for, or of each thing; absent, `*`. */
  resource?: (input: z.output<S>, call: Call) => Promise<string> | string | readonly string[]
  run: (input: z.output<S>, call: Call) => Promise<object> | object
}

export function operation<S extends z.ZodType>({ action, input, resource, run }: Definition<S>): Operation {
  return async (given, call) => {
    const read = readInput(input, given)
    for (const arn of [(await resource?.(read, call)) ?? '*'].flat()) await assertMay(call, action, arn)
    return run(read, call)
  }
}

/** Rejects with `AccessDeniedException`. */
export async function assertMay({ caller, authority }: Call, action: string, resource: string): Promise<void> {
  const refusal = await authority.refusal(caller, action, resource)
  if (refusal !== undefined) throw new AwsError('AccessDeniedException', refusal)
}
