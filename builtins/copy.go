package builtins

import (
	"context"
	"encoding/json"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/copying"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

type copyArgs struct {
	Artifact ledger.Artifact `star:"artifact" doc:"what a backup primitive returned"`
	To       []string        `star:"to?" doc:"targets; default: those that the asset demands" names:"target"`
}

func copyDeclaration() runtime.Declaration {
	return runtime.Reusable[copyArgs]{Reuse: copiesStand, Primitive: runtime.Primitive[copyArgs]{
		Name: "copy", Kind: runtime.Write, Resume: runtime.Retry, Returns: "list of copies",
		Doc: "copy: copy an artifact to targets, in one read of its source.\n\n" +
			"Each target writes, resumes and fails by itself: the copies that could be made are returned, a target that failed is a finding of " +
			"the run, and only when every target failed the call fails. " +
			"Sealed targets get age files; the clear stream is opened completely in the very pass that seals it. A copy becomes visible with its " +
			"manifest, which is written last. " +
			"What the artifact needs (the full archive of a differential one) is copied, too, to those of the targets that lack it. " +
			"An offline medium that is not there is no failure of the copy: when it is due, the run says so. One that was there in this run is. " +
			"An artifact whose source is gone is read from a copy in clear on another target.",
		Example: `copy(artifact = snapshot_vm(guest = "erp"), to = ["offsite"])`,
		Codes:   codes(systems.TargetCodes(), systems.ArchiveCodes(), []failure.Code{host.CodeDown, host.CodeAuth}),
		Retries: runtime.Retries{Attempts: copying.Attempts, Wait: retryWait},
		Holds:   func(a *copyArgs) []string { return []string{"asset:" + a.Artifact.Asset + "/" + a.Artifact.Item} },
		Planned: func(*copyArgs) any { return runtime.Unknown{From: "copy"} },
		Fake:    fakeCopy, Run: copyArtifact,
	}}
}

func copyArtifact(ctx context.Context, s *runtime.Step, a *copyArgs) (runtime.Result, error) {
	return copying.Copy(ctx, s, a.Artifact, a.To)
}

func fakeCopy(ctx context.Context, s *runtime.Step, a *copyArgs) (runtime.Result, error) {
	return copying.Pretend(ctx, s, a.Artifact, a.To)
}

// copiesStand tells a retry whether the source need not be read again.
func copiesStand(ctx context.Context, s *runtime.Step, a *copyArgs, value json.RawMessage) (bool, error) {
	var made []ledger.Copy
	if err := json.Unmarshal(value, &made); err != nil {
		return false, err
	}
	return copying.Stands(ctx, s, a.Artifact, a.To, made)
}
