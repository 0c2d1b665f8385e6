package savefiles

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/archive"
	"github.com/neosofia/runner/builtins/internal/kind/files"
	"github.com/neosofia/runner/builtins/internal/spool"
	"github.com/neosofia/runner/runtime"
	"github.com/neosofia/runner/runtime/failure"
)

// job is one archive under way.
type job struct {
	s      *runtime.Step
	h      host.Host
	draft  *spool.Draft
	paths  []string // clean, sorted
	mounts mounts
	notes  notes
}

// Two archives of one state are equal, but for the process that tar notes beside a file
// with holes: names are sorted, and the times of the last access and of the last change of
// an inode are left out: reading sets the one, and nobody can set the other. With an
// index file, tar says on its standard error what it does not enter, too.
var tarArgs = []string{
	"tar", "--create", "--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime", "--sort=name",
	"--acls", "--xattrs", "--xattrs-include=*", "--numeric-owner", "--sparse", "--one-file-system",
	"--verbose", "--index-file=/dev/null", "--quoting-style=escape", "--directory=/",
}

// maxWords are bytes of names that a command line takes: to a shell it is one word, which
// Linux lets have 128 KiB.
const maxWords = 48 << 10

// args are the words of the command. The names come on standard input, below the root,
// so that none of them can be taken for an option.
func (j *job) args(exclude, own []string) []string {
	args := append(slices.Clone(tarArgs), "--anchored", "--no-wildcards")
	rooted := func(pattern string) {
		args = append(args, "--exclude="+pattern)
		if slices.Contains(j.paths, "/") { // it is named ".", and all below it begins so
			args = append(args, "--exclude=./"+pattern)
		}
	}
	for _, dir := range own {
		rooted(strings.TrimPrefix(dir, "/"))
	}
	args = append(args, "--wildcards")
	for _, x := range exclude {
		if pattern, ok := strings.CutPrefix(x, "/"); ok {
			args = append(args, "--anchored", "--no-wildcards-match-slash")
			rooted(strings.TrimSuffix(pattern, "/"))
		} else {
			args = append(args, "--no-anchored", "--no-wildcards-match-slash", "--exclude="+strings.TrimSuffix(x, "/"))
		}
	}
	return append(args, "--null", "--files-from=-", "--file=-")
}

// run packs what tar reads into the spool. What lies so deep that no restore would reach
// it is left out, and is named; for that, tar reads once more.
func (j *job) run(ctx context.Context, exclude, own []string) (archive.Report, error) {
	report, err := j.pack(ctx, exclude, own)
	var far []string
	size := 0
	for _, f := range report.OutOfReach {
		far = append(far, strings.TrimPrefix(f, "./"))
		size += len(f)
	}
	if err == nil || len(far) == 0 || ctx.Err() != nil || size > maxWords {
		return report, err
	}
	j.notes = notes{}
	if err := j.draft.Drop(files.Archive); err != nil {
		return report, err
	}
	var without []string
	for _, f := range far {
		without = append(without, "/"+f)
	}
	if report, err = j.pack(ctx, exclude, append(without, own...)); err != nil {
		return report, err
	}
	for _, f := range far {
		j.notes.add("/"+short(f), fmt.Sprintf("deeper than %d levels, or a longer path than Linux takes; with all that is in it",
			archive.MaxDepth-1))
	}
	return report, nil
}

// pack reads with tar once. The stream is parsed to its end at the same time: what a
// restore would refuse is not called saved.
func (j *job) pack(ctx context.Context, exclude, own []string) (archive.Report, error) {
	var names strings.Builder
	for _, p := range j.paths {
		if p = strings.TrimPrefix(p, "/"); p == "" {
			p = "."
		}
		names.WriteString(p + "\x00")
	}
	file, err := j.draft.Create(files.Archive)
	if err != nil {
		return archive.Report{}, err
	}
	packed, err := zstd.NewWriter(file)
	if err != nil {
		return archive.Report{}, err
	}
	j.notes.paths, j.notes.mounts = j.paths, j.mounts
	checked, out := j.check(ctx)
	stream := &counted{w: io.MultiWriter(packed, out), progress: func(n int64) { j.s.Progress("files of "+j.h.Name(), n, 0) }}
	tar := host.Command{Args: j.args(exclude, own), Stdin: strings.NewReader(names.String()), Stdout: stream, Stderr: &j.notes}
	r, err := j.h.Run(ctx, tar)
	j.notes.end()
	if stream.err != nil && ctx.Err() == nil {
		err = stream.err // that tar was cut off is what came of it
	}
	if cerr := packed.Close(); err == nil {
		err = cerr
	}
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	out.CloseWithError(err) // nil: the end
	got := <-checked
	if err != nil {
		return got.Report, err
	}
	return got.Report, j.judge(r.Exit, got.err)
}

type check struct {
	archive.Report
	err error
}

// check parses what is written to it.
func (j *job) check(ctx context.Context) (<-chan check, *io.PipeWriter) {
	r, w := io.Pipe()
	done := make(chan check, 1)
	go func() {
		report, err := archive.Check(ctx, "files.tar", r)
		_, _ = io.Copy(io.Discard, r) // of an archive that is refused, tar's own words are worth more: let it end
		done <- check{report, err}
	}()
	return done, w
}

// judge says whether tar made a whole archive: it ends with 1 and with 2 when it could
// not read all, and has named what then.
func (j *job) judge(exit int, parsed error) error {
	said := j.notes.last
	switch {
	case strings.Contains(said, "unrecognized option"), strings.Contains(said, "--help"), strings.Contains(said, "invalid option"):
		return j.fail(said, "GNU tar 1.28 or newer is needed on the host: apt install tar", nil)
	case exit > 2, j.notes.fatal != "":
		return j.fail(fmt.Sprintf("tar ended with %d: %s", exit, firstOf(j.notes.fatal, said)), "look at the host's memory and disks", nil)
	case exit != 0 && !j.notes.any():
		return j.fail(fmt.Sprintf("tar ended with %d: %s", exit, firstOf(said, "it said nothing")), "", nil)
	case parsed != nil && len(j.notes.lost) < len(j.paths):
		return j.fail("a restore would refuse what tar made: "+short(parsed.Error()),
			"exclude what is named here, or move it: nothing of this archive was kept", parsed)
	}
	return nil
}

func (j *job) fail(said, hint string, cause error) error {
	return &failure.Error{Code: CodeTar, System: "host " + j.h.Name(), Doing: "save " + strings.Join(j.paths, ", "),
		Said: said, Hint: hint, Cause: cause}
}

// short cuts the middle out of a text: a name in it may have thousands of bytes.
func short(text string) string {
	const front, back = 200, 120
	if len(text) <= front+back {
		return text
	}
	return strings.ToValidUTF8(text[:front], "") + "…" + strings.ToValidUTF8(text[len(text)-back:], "")
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// counted says how far a stream is, and keeps what writing it failed with.
type counted struct {
	w           io.Writer
	n, reported int64
	progress    func(int64)
	err         error
}

const reportEvery = 16 << 20

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if err != nil && !errors.Is(err, io.ErrClosedPipe) {
		c.err = err
	}
	if c.n += int64(n); c.n-c.reported >= reportEvery {
		c.reported = c.n
		c.progress(c.n)
	}
	return n, err
}
