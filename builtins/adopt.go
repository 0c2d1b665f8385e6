package builtins

import (
	"cmp"
	"context"

	"github.com/neosofia/runner/builtins/internal/adopt"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

type adoptArgs struct {
	Target string `star:"target?" doc:"target that is a storage of Proxmox (pve://); default: all of them" names:"target"`
	Level  string `star:"level?" doc:"stored, read or opened; default: what the asset demands of the target, else read"`
	Most   int    `star:"most?" doc:"so many archives at most, the newest first; default 20"`
}

func adoptDeclaration() runtime.Declaration {
	return runtime.Primitive[adoptArgs]{
		Name: "adopt", Kind: runtime.Write, Resume: runtime.Retry, Returns: "list of artifacts",
		Doc: "adopt: count vzdump archives that Proxmox's own jobs, or people, made.\n\n" +
			"Each is digested, read again at the level that is asked for, and counts as a copy of its guest from then on, marked as foreign. The " +
			"VMID says whose it is; an archive of another guest that had the VMID before is left. " +
			"runner never removes one, and no rule of prune takes it for runner's own; when its own retention has removed it, the next call says " +
			"so, and status says where a demand is not met without it. " +
			"What is being written, or was within a minute, is left for the next call; what changes while it is read is an error. " +
			"Archives of a run that this ledger does not know are those of a lost ledger: first rebuild it (runner ledger rebuild), so that those " +
			"of which a manifest tells are runner's own again. The others are counted, and never removed. " +
			"Pass what is returned to copy(..., to = [...]) to bring it to other targets: nothing else does.",
		Parts:   []string{"target"},
		Example: `adopt(target = "node")`,
		Codes:   codes(adopt.Codes(), systems.TargetCodes(), systems.PVECodes(), systems.ArchiveCodes(), []failure.Code{proxmox.CodeStorage}),
		Retries: runtime.Retries{Attempts: 3, Wait: retryWait},
		Holds:   func(a *adoptArgs) []string { return []string{"adopt:" + cmp.Or(a.Target, "*")} },
		Planned: func(*adoptArgs) any { return runtime.Unknown{From: "adopt"} },
		Preview: func(ctx context.Context, s *runtime.Step, a *adoptArgs) error {
			return adopt.Preview(ctx, s, a.request())
		},
		Fake: fakeAdopt, Answered: answeredAdopt,
		Run: func(ctx context.Context, s *runtime.Step, a *adoptArgs) (runtime.Result, error) {
			return adopt.Adopt(ctx, s, a.request())
		},
	}
}

func (a *adoptArgs) request() *adopt.Request {
	r := adopt.Request(*a)
	return &r
}

// fakeAdopt finds an archive of each guest that a test gives, or of one.
func fakeAdopt(ctx context.Context, s *runtime.Step, a *adoptArgs) (runtime.Result, error) {
	given, ok := systems.Of(s).Given["adopt"]
	if !ok {
		given = []any{"erp"}
	}
	return answeredAdopt(ctx, s, a, given)
}

func answeredAdopt(_ context.Context, s *runtime.Step, a *adoptArgs, answer any) (runtime.Result, error) {
	names, err := systems.AnsweredNames("adopt", answer)
	if err != nil {
		return runtime.Result{}, err
	}
	return adopt.Pretend(s, a.request(), names, func(sys *site.Proxmox, guest string) string { return assetOfName(s, sys, guest) })
}
