package builtins

import (
	"context"
	"fmt"

	"github.com/neosofia/runner/builtins/internal/restorevm"
	"github.com/neosofia/runner/runtime"
)

type destroyVMArgs struct {
	VMID   int64  `star:"vmid" doc:"VMID of a guest that runner restored"`
	Token  string `star:"token" doc:"token that the guest's description carries: runner:RUN/STEP"`
	System string `star:"system?" doc:"proxmox of the site; default: the only one" names:"proxmox"`
}

func destroyVMDeclaration() runtime.Declaration {
	return runtime.Primitive[destroyVMArgs]{
		Name: "destroy_vm", Kind: runtime.Destroy, Resume: runtime.Retry,
		Doc: "destroy_vm: remove a guest that runner itself restored; restore_vm cleans up with it.\n\n" +
			"The guest's description must carry the token of the step that made it (or the guest must be the empty rest of a restore that was " +
			"begun with our API token and failed). A guest that is not there is fine. It must be stopped.",
		Example: `destroy_vm(vmid = 9100, token = "runner:20260302T020000Z-abcdef/0")`,
		Codes:   restorevm.DestroyCodes(),
		Holds:   func(a *destroyVMArgs) []string { return []string{fmt.Sprintf("vmid:%d", a.VMID)} },
		Fake: func(context.Context, *runtime.Step, *destroyVMArgs) (runtime.Result, error) {
			return runtime.Result{}, nil
		},
		Run: func(ctx context.Context, s *runtime.Step, a *destroyVMArgs) (runtime.Result, error) {
			return runtime.Result{}, restorevm.Destroy(ctx, s, a.System, a.VMID, a.Token)
		},
	}
}
