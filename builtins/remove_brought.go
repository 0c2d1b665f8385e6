package builtins

import (
	"context"

	"github.com/neosofia/runner/builtins/internal/comeback"
	"github.com/neosofia/runner/runtime"
)

type removeBroughtArgs struct {
	System string `star:"system" doc:"proxmox of the site"`
	Node   string `star:"node" doc:"node on which the archive lies"`
	Path   string `star:"path" doc:"the archive on that node: /srv/backup/dump/vzdump-…"`
	Token  string `star:"token" doc:"token that the archive's notes carry: runner:RUN/STEP"`
}

func removeBroughtDeclaration() runtime.Declaration {
	return runtime.Primitive[removeBroughtArgs]{
		Name: "remove_brought", Kind: runtime.Destroy, Resume: runtime.Retry,
		Doc: "remove_brought: remove an archive that restore_vm brought to a node for a restore; restore_vm cleans up with it.\n\n" +
			"The archive's notes must carry the token of the step that brought it. One that is not there is fine.",
		Example: `remove_brought(system = "pve", node = "pve1", path = "/srv/backup/dump/vzdump-qemu-100-2026_03_02-02_00_00.vma.zst", token = "runner:20260302T020000Z-abcdef/0")`,
		Codes: []runtime.Code{
			{Name: "E_NOT_OURS", Doc: "the archive does not carry the token: it is not removed"},
			{Name: "E_PVE_SSH", Doc: "the node cannot be reached over SSH"},
			{Name: "E_SECRET", Doc: "a secret is not in the keyring, or the keyring is locked"},
		},
		Fake: func(context.Context, *runtime.Step, *removeBroughtArgs) (runtime.Result, error) {
			return runtime.Result{}, nil
		},
		Run: func(ctx context.Context, s *runtime.Step, a *removeBroughtArgs) (runtime.Result, error) {
			return runtime.Result{}, comeback.Unbring(ctx, s, a.System, a.Node, a.Path, a.Token)
		},
	}
}
