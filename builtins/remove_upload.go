package builtins

import (
	"context"

	"github.com/neosofia/runner/builtins/internal/client/keyring"
	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/restorevm"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

type removeUploadArgs struct {
	System string `star:"system" doc:"proxmox of the site" names:"proxmox"`
	Node   string `star:"node" doc:"node on which the archive lies"`
	Path   string `star:"path" doc:"the archive on that node: /srv/backup/dump/vzdump-…"`
	Token  string `star:"token" doc:"token that the archive's notes carry: runner:RUN/STEP"`
}

func removeUploadDeclaration() runtime.Declaration {
	return runtime.Primitive[removeUploadArgs]{
		Name: "remove_upload", Kind: runtime.Destroy, Resume: runtime.Retry,
		Doc: "remove_upload: remove an archive that restore_vm uploaded to a node for a restore; restore_vm cleans up with it.\n\n" +
			"The archive's notes must carry the token of the step that uploaded it. One that is not there is fine.",
		Example: `remove_upload(system = "pve", node = "pve1", path = "/srv/backup/dump/vzdump-qemu-100-2026_03_02-02_00_00.vma.zst", token = "runner:20260302T020000Z-abcdef/0")`,
		Codes:   codes(systems.ArchiveCodes(), []failure.Code{proxmox.CodeNotOurs, keyring.CodeSecret, ssh.CodeHostKey}),
		Fake: func(context.Context, *runtime.Step, *removeUploadArgs) (runtime.Result, error) {
			return runtime.Result{}, nil
		},
		Run: func(ctx context.Context, s *runtime.Step, a *removeUploadArgs) (runtime.Result, error) {
			return runtime.Result{}, restorevm.RemoveUpload(ctx, s, a.System, a.Node, a.Path, a.Token)
		},
	}
}
