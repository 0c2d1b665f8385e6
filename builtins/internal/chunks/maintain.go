package chunks

import (
	"context"
	"os"
	"syscall"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/maintenance"
	"github.com/kopia/kopia/snapshot/snapshotmaintenance"
)

// Maintain removes what no file needs any more: chunks of deleted files, what killed writers
// left, superseded indexes. It needs the lease and no reader, and returns the bytes that it freed. It
// changes nothing where a snapshot cannot be read, or is not there any more: what it needs could
// not be told from garbage.
func (r *Repository) Maintain(ctx context.Context) (freed int64, err error) {
	const doing = "maintain the repository"
	defer r.rescue(doing, &err)
	if err := r.writable(doing, "maintenance"); err != nil {
		return 0, err
	}
	r.committing.Lock()
	defer r.committing.Unlock()
	if err := flock(r.locks.users, syscall.LOCK_EX); err != nil {
		return 0, r.busy(err, "a reader")
	}
	defer func() {
		if lerr := flock(r.locks.users, syscall.LOCK_SH); err == nil {
			err = r.fail(doing, lerr)
		}
	}()
	if err := r.load(ctx); err != nil {
		return 0, err
	}
	if err := r.complete(doing); err != nil {
		return 0, err
	}
	if err := r.step(); err != nil {
		return 0, r.fail(doing, err)
	}
	// kopia makes a lock file beside its configuration.
	if err := os.Mkdir(r.private, 0o700); err != nil {
		return 0, r.fail(doing, err)
	}
	defer func() {
		if rerr := os.RemoveAll(r.private); err == nil {
			err = r.fail(doing, rerr)
		}
	}()
	before, err := r.stored(ctx)
	if err != nil {
		return 0, r.fail(doing, err)
	}
	err = repo.DirectWriteSession(ctx, r.rep, repo.WriteSessionOptions{Purpose: "maintenance"},
		func(ctx context.Context, w repo.DirectRepositoryWriter) error {
			return snapshotmaintenance.Run(ctx, w, maintenance.ModeFull, true, maintenance.SafetyNone)
		})
	if err == nil {
		err = (&folder{root: r.root}).sweep(ctx, ".")
	}
	if err != nil {
		return 0, r.fail(doing, err)
	}
	if err := r.load(ctx); err != nil {
		return 0, err
	}
	after, err := r.stored(ctx)
	return before - after, r.fail(doing, err)
}

// step takes kopia's clock past the second at hand. Its indexes count in seconds, and of a
// deletion and a write in the same one the write would win.
func (r *Repository) step() error {
	now := r.now()
	r.mu.Lock()
	r.floor = now.Add(2 * time.Second)
	r.mu.Unlock()
	return r.tell()
}

// stored counts the bytes of all blobs.
func (r *Repository) stored(ctx context.Context) (n int64, err error) {
	err = r.rep.BlobReader().ListBlobs(ctx, "", func(m blob.Metadata) error {
		n += m.Length
		return nil
	})
	return n, err
}
