package chunks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/maintenance"

	"github.com/neosofia/runner/builtins/internal/durable"
	"github.com/neosofia/runner/builtins/internal/store"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Options say which repository and how. Folder, Password and Now are needed.
type Options struct {
	Folder   string           // absolute
	Password string           // held in memory only; a generated one, of 128 random bits at least
	Scratch  string           // where a private folder is made for kopia's configuration; "": the system's
	Target   string           // the target's name, for errors
	Write    bool             // take the lease; readers can be many
	Now      func() time.Time // the run's clock
}

// Repository is one open repository. Its methods can be called at once; after Close
// none may be. It implements store.Store: Put has no offset, and a file is there whole or not at all.
type Repository struct {
	options Options
	root    *os.Root
	private string
	locks   locks
	rep     repo.DirectRepository

	committing sync.Mutex // the names change in one flush at a time

	mu      sync.Mutex // of what follows
	folders map[string]*snapshots
	floor   time.Time // kopia's clock does not go below
	fatal   error     // what kopia would have ended the process for
}

var _ store.Store = (*Repository)(nil)

// user and host are the source of our snapshots, whichever machine writes: a repository is found again
// from any.
const (
	user = "runner"
	host = "runner"
)

// Create makes a repository in a folder that is there and holds none.
func Create(ctx context.Context, o Options) (err error) {
	o.Write = true
	r := &Repository{options: o}
	defer r.rescue("make the repository", &err)
	root, err := r.enter()
	if err != nil {
		return err
	}
	defer root.Close()
	if err = r.lock(root); err == nil {
		err = r.create(ctx)
	}
	left := 0
	if err != nil {
		left = -1
	}
	return errors.Join(err, r.locks.unlock(left))
}

func (r *Repository) create(ctx context.Context) error {
	if r.options.Password == "" {
		return &failure.Error{Code: target.CodeBadTarget, System: r.system(), Doing: "make the repository", Said: "it has no password"}
	}
	st, err := openStorage(r.options.Folder, r.now)
	if err != nil {
		return r.fail("open "+r.options.Folder, err)
	}
	defer st.Close(ctx)
	if err := clearHalfMade(ctx, st); err != nil {
		return r.fail("make the repository", err)
	}
	err = repo.Initialize(ctx, st, &repo.NewRepositoryOptions{
		BlockFormat:                       format.ContentFormat{Hash: hash, Encryption: encryption},
		ObjectFormat:                      format.ObjectFormat{Splitter: diskSplitter},
		FormatBlockKeyDerivationAlgorithm: derivation,
	}, r.options.Password)
	if errors.Is(err, repo.ErrAlreadyInitialized) {
		return &failure.Error{Code: target.CodeBadTarget, System: r.system(), Doing: "make the repository", Said: "there is one already"}
	}
	return r.fail("make the repository", err)
}

// clearHalfMade removes what a Create that was killed left: kopia takes it for damage.
func clearHalfMade(ctx context.Context, st blob.Storage) error {
	all, err := blob.ListAllBlobs(ctx, st, "")
	if err != nil || len(all) != 1 || all[0].BlobID != format.KopiaBlobCfgBlobID {
		return err
	}
	return st.DeleteBlob(ctx, format.KopiaBlobCfgBlobID)
}

// Open opens a repository. With Write it takes the lease, or says who has it.
func Open(ctx context.Context, o Options) (r *Repository, err error) {
	r = &Repository{options: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.release(ctx, false))
			r = nil
		}
	}()
	defer r.rescue("open the repository", &err)
	if r.root, err = r.enter(); err != nil {
		return r, err
	}
	if err := r.lock(r.root); err != nil {
		return r, err
	}
	config, err := r.configure()
	if err != nil {
		return r, r.fail("make the configuration", err)
	}
	registerStorage()
	rep, err := repo.Open(context.WithValue(ctx, clockKey{}, r.now), config, o.Password, &repo.Options{TimeNowFunc: r.now,
		DisableRepositoryLog: true, DoNotWaitForUpgrade: true, OnFatalError: r.setFatal})
	if err != nil {
		return r, r.notARepository(err)
	}
	r.rep = rep.(repo.DirectRepository) // the storage is a folder: there is no server
	// Only maintenance wants the folder again: who is killed leaves nothing.
	if err := os.RemoveAll(r.private); err != nil {
		return r, r.fail("remove the configuration", err)
	}
	if err := r.load(ctx); err != nil {
		return r, err
	}
	if o.Write {
		return r, r.adoptMaintenance(ctx)
	}
	return r, nil
}

// enter checks the folder.
func (r *Repository) enter() (*os.Root, error) {
	if !filepath.IsAbs(r.options.Folder) {
		return nil, &failure.Error{Code: target.CodeBadTarget, System: r.system(), Doing: "open the repository",
			Said: "the path of its folder is not absolute"}
	}
	root, err := os.OpenRoot(r.options.Folder)
	return root, r.fail("open "+r.options.Folder, err)
}

// configure writes kopia's configuration file, without the password, in a fresh folder. It
// says nothing of caching: nothing is cached then, whatever KOPIA_CACHE_DIRECTORY is.
func (r *Repository) configure() (string, error) {
	dir, err := os.MkdirTemp(r.options.Scratch, "runner-chunks-")
	if err != nil {
		return "", err
	}
	r.private = dir
	raw, err := json.Marshal(repo.LocalConfig{
		Storage:       &blob.ConnectionInfo{Type: storageType, Config: &storageOptions{r.options.Folder}},
		ClientOptions: repo.ClientOptions{Hostname: host, Username: user, ReadOnly: !r.options.Write, Description: "runner"},
	})
	if err != nil {
		return "", err
	}
	config := filepath.Join(dir, "repository.config")
	return config, os.WriteFile(config, raw, 0o600)
}

func (r *Repository) notARepository(err error) error {
	if !errors.Is(err, blob.ErrBlobNotFound) {
		return r.fail("open the repository", err)
	}
	return &failure.Error{Code: target.CodeNotFound, System: r.system(), Doing: "open the repository",
		Said: "there is no repository in " + r.options.Folder, Cause: fmt.Errorf("%w: %w", fs.ErrNotExist, err)}
}

// adoptMaintenance takes kopia's own maintenance away from whoever connects to the
// repository by hand: it knows nothing of our lease.
func (r *Repository) adoptMaintenance(ctx context.Context) error {
	p, err := maintenance.GetParams(ctx, r.rep)
	if err != nil {
		return r.fail("read the parameters of maintenance", err)
	}
	if p.Owner == user+"@"+host && !p.QuickCycle.Enabled && !p.FullCycle.Enabled {
		return nil
	}
	p.Owner, p.QuickCycle.Enabled, p.FullCycle.Enabled = user+"@"+host, false, false
	err = repo.WriteSession(ctx, r.rep, repo.WriteSessionOptions{Purpose: "maintenance"},
		func(ctx context.Context, w repo.RepositoryWriter) error { return maintenance.SetParams(ctx, w, p) })
	return r.fail("set the parameters of maintenance", err)
}

// now is kopia's clock.
func (r *Repository) now() time.Time {
	now := r.options.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.floor.Before(now) {
		r.floor = now
	} else {
		r.floor = r.floor.Add(time.Microsecond)
	}
	return r.floor
}

func (r *Repository) setFatal(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fatal = err
}

// Left is the writer before this one, when it ended without giving the lease back: what it
// was putting lies in the repository unused until Maintain. Nil otherwise.
func (r *Repository) Left() *Holder { return r.locks.left }

// Space returns free and total bytes of the file system.
func (r *Repository) Space(ctx context.Context) (free, total int64, err error) {
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	free, total, err = durable.Space(r.root)
	return free, total, r.fail("look up the space", err)
}

// Close gives the lease back and removes the private folder.
func (r *Repository) Close(ctx context.Context) error { return r.release(ctx, true) }

func (r *Repository) release(ctx context.Context, well bool) error {
	left := -1
	if well {
		left = max(r.count(), r.locks.self.Snapshots)
	}
	var errs []error
	if r.rep != nil {
		errs = append(errs, r.fail("close the repository", r.rep.Close(ctx)))
	}
	if r.private != "" {
		errs = append(errs, r.fail("remove the configuration", os.RemoveAll(r.private)))
	}
	r.locks.self.Clock = r.now()
	errs = append(errs, r.fail("give the lease back", r.locks.unlock(left)))
	if r.root != nil {
		errs = append(errs, r.root.Close())
	}
	return errors.Join(errs...)
}
