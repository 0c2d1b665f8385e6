package systems

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"

	"github.com/neosofia/runner/builtins/internal/client/proxmox"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/ledger"
)

// Spool is where artifacts lie that no storage holds.
func (w *Systems) Spool() spool.Dir { return spool.Dir(w.Env.Spool) }

// HasSource reports whether an artifact can still be read from where it was made. Where
// that cannot be asked now, it may be: who reads it finds out.
func (w *Systems) HasSource(ctx context.Context, a ledger.Artifact) bool {
	switch {
	case w.Given != nil:
		return true
	case a.Origin.Spool != "":
		return w.Spool().Has(a)
	case a.Origin.Host != "":
		h, _, err := w.Host(ctx, a.Origin.Host)
		if err != nil || len(a.Files) == 0 {
			return len(a.Files) > 0
		}
		defer h.Close()
		_, err = h.Stat(ctx, path.Join(a.Origin.Dir, path.Base(a.Files[0].Name)))
		return !errors.Is(err, fs.ErrNotExist)
	}
	_, err := w.ArchiveSize(ctx, a.Origin)
	return !proxmox.Gone(err)
}

// CleanSpool removes from the spool what is not needed any more.
func (w *Systems) CleanSpool(ctx context.Context, c ledger.Catalog) error {
	return w.Spool().CleanUp(ctx, c, w.everywhere)
}

// Stands reports whether an artifact of the spool need not be made again: its files are
// there, or every demanded target has a copy.
func (w *Systems) Stands(ctx context.Context, s *runtime.Step, a ledger.Artifact) (bool, error) {
	if w.Given != nil || w.Spool().Has(a) {
		return true, nil
	}
	c, err := s.Catalog(ctx)
	if err != nil {
		return false, err
	}
	return w.everywhere(ctx, c, a, false)
}

// everywhere reports whether every demanded target has a copy; of a set of media, one. A medium that is
// taken away is waited for by batches only: of other kinds the next one is newer. A
// batch must be proven, too: nothing else holds what is in it.
func (w *Systems) everywhere(ctx context.Context, c ledger.Catalog, a ledger.Artifact, batch bool) (bool, error) {
	row, _ := w.Site.Demands.Asset(a.Asset)
	copies, err := c.ProvenCopies(ctx, ledger.Query{Item: a.Item, Ref: a.ID})
	if err != nil {
		return false, err
	}
	have := map[string]bool{}
	for _, cp := range copies {
		have[cp.Target] = have[cp.Target] || !batch || cp.Level >= ledger.Read
	}
	for _, one := range row.Promises() {
		t, err := w.Site.Target(one[0].Target)
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(one, func(d ledger.CopyDemand) bool { return have[d.Target] }) && (batch || !t.Offline) {
			return false, nil
		}
	}
	return len(copies) > 0, nil
}

// Everywhere reports whether a batch is proven on every target that its asset
// demands: then the spool needs not keep it.
func (w *Systems) Everywhere(ctx context.Context, c ledger.Catalog, a ledger.Artifact) (bool, error) {
	return w.everywhere(ctx, c, a, true)
}
