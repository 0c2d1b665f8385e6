package builtins

import (
	"context"
	"encoding/json"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/verify"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

type verifyArgs struct {
	Copies []ledger.Copy `star:"copies" doc:"what copy returned"`
	Level  string        `star:"level?" doc:"stored, read or opened; default: what the asset demands of the target, else read"`
}

func verifyDeclaration() runtime.Declaration {
	return runtime.Reusable[verifyArgs]{Reuse: proofsStand, Primitive: runtime.Primitive[verifyArgs]{
		Name: "verify", Kind: runtime.Read, Resume: runtime.Retry, Returns: "list of proofs",
		Doc: "verify: prove copies by reading them back.\n\n" +
			"stored: the target acknowledges all bytes. read: every byte is read back past any cache, SHA-256 equal. opened: decrypted where " +
			"sealed and the whole structure parsed, in the same pass (every extent and cluster of a VMA, every entry of a tar, zstd checksums). " +
			"A copy that fails is damaged from then on: its earlier proofs are void.\n\n" +
			"Where the site limits what proofs may read of a target in a night (read_budget), a reading that takes longer stops at a stored file, " +
			"and goes on there the next night; its proof is as old as its first byte. A copy that has no other proof is E_READ_BUDGET until then.",
		Parts:   []string{"target"},
		Example: `verify(copies = copy(artifact = snapshot_vm(guest = "erp")), level = "read")`,
		Codes:   codes(systems.TargetCodes(), systems.ArchiveCodes(), []failure.Code{target.CodeReadBudget}),
		Retries: runtime.Retries{Attempts: verify.Attempts, Wait: retryWait},
		Fake:    fakeVerify, Run: runVerify,
	}}
}

func runVerify(ctx context.Context, s *runtime.Step, a *verifyArgs) (runtime.Result, error) {
	r := verify.Request(*a)
	return verify.Verify(ctx, s, &r)
}

func fakeVerify(ctx context.Context, s *runtime.Step, a *verifyArgs) (runtime.Result, error) {
	r := verify.Request(*a)
	return verify.Pretend(ctx, s, &r)
}

func proofsStand(ctx context.Context, s *runtime.Step, _ *verifyArgs, value json.RawMessage) (bool, error) {
	return verify.Stand(ctx, s, value)
}
