package builtins

import (
	"context"
	"encoding/json"

	"github.com/neosofia/runner/builtins/internal/savefiles"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

type saveFilesArgs struct {
	Host    string   `star:"host?" doc:"host of the site; default: the only one" names:"host"`
	Paths   []string `star:"paths" doc:"absolute paths of folders and files"`
	Exclude []string `star:"exclude?" doc:"patterns of tar: /srv/cache is that path alone, *.tmp is a name in any folder"`
	Name    string   `star:"name?" doc:"what the set is called in status and recover; default: the host and its paths"`
	Asset   string   `star:"asset?" doc:"row of the SOP's table; default files" names:"asset"`
}

func saveFilesDeclaration() runtime.Declaration {
	return runtime.Reusable[saveFilesArgs]{Reuse: filesStand, Primitive: runtime.Primitive[saveFilesArgs]{
		Name: "save_files", Kind: runtime.Write, Resume: runtime.Retry, Returns: "an artifact",
		Doc: "save_files: save folders and files of a host as one tar archive.\n\n" +
			"GNU tar runs on the host, as the account that runner has there, and reads with owners by number, " +
			"ACLs, extended attributes, hard links and holes; runner packs the stream with zstd into its state folder, where the archive lies " +
			"until every target has it. " +
			"Devices and FIFOs are saved as such, not read. File systems that are mounted below a path are not entered: " +
			"each is a gap, unless it holds nothing of its own (/proc, /run), and so is whatever changed, went or could not be read meanwhile, " +
			"and a path that is not there. Runner's own state folder and targets on that machine are left out. The first of them are in show, " +
			"all are in not-saved.txt of the artifact. " +
			"A database that runs is not saved well as files: stop it, dump it, or snapshot its guest.",
		Example: `save_files(host = "pve1", paths = ["/etc", "/root"], exclude = ["*.tmp"], asset = "operating_systems")`,
		Codes:   codes(systems.HostCodes(), exportCodes(savefiles.CodeNothing, savefiles.CodeTar)),
		Retries: runtime.Retries{Attempts: 3, Wait: retryWait},
		Holds:   func(a *saveFilesArgs) []string { return []string{"files:" + a.Host + ":" + a.Name} },
		Planned: func(*saveFilesArgs) any { return runtime.Unknown{From: "save_files"} },
		Preview: func(_ context.Context, s *runtime.Step, a *saveFilesArgs) error {
			return systems.PreviewCopies(s, a.Asset, savefiles.Asset)
		},
		Fake: fakeSaveFiles,
		Run: func(ctx context.Context, s *runtime.Step, a *saveFilesArgs) (runtime.Result, error) {
			return savefiles.Save(ctx, s, savefiles.Request(*a))
		},
	}}
}

// filesStand says whether the archive of an earlier run is still in the spool.
func filesStand(_ context.Context, s *runtime.Step, _ *saveFilesArgs, value json.RawMessage) (bool, error) {
	var art ledger.Artifact
	if err := json.Unmarshal(value, &art); err != nil {
		return false, err
	}
	w := systems.Of(s)
	return w.Given != nil || w.Spool().Has(art), nil
}

func fakeSaveFiles(_ context.Context, s *runtime.Step, a *saveFilesArgs) (runtime.Result, error) {
	item, err := savefiles.Item(systems.Of(s).Site, savefiles.Request(*a))
	if err != nil {
		return runtime.Result{}, err
	}
	return systems.FakeExport(s, "files", a.Asset, savefiles.Asset, item)
}
