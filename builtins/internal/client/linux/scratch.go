package linux

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/internal/format/ruleset"
)

// scratchScript runs in a network namespace of its own, which ends with it: whatever
// it loads touches no packet of the host and leaves nothing. The interfaces that rules
// name are made there, and the sets of ipset, without members. What is loaded comes by
// standard input; the words behind -- are the program that loads it.
const scratchScript = `mark=$1 sets=$2 save=$3; shift 3
echo "$mark"
while [ "$1" != -- ]; do
  ip link add dev "$1" type dummy 2>/dev/null || ip link add dev "$1" type bridge 2>/dev/null
  shift
done
shift
[ -z "$sets" ] || printf '%s\n' "$sets" | ipset restore || exit
"$@" || exit
nft -j -s list ruleset
printf '\n%s\n' "$mark" && nft -s list ruleset && printf '\n%s\n' "$mark" && { [ -z "$save" ] || "$save"; }`

// noScratchError says that the host makes no network namespace.
type noScratchError struct{ said string }

func (e *noScratchError) Error() string {
	return "no network namespace could be made to load it into: " + e.said
}

// notLoadedError is what a tool said of a text that it does not load.
type notLoadedError struct{ tool, said string }

func (e *notLoadedError) Error() string { return e.tool + " does not take it: " + e.said }

// scratch loads a text into a namespace of its own on the host, and lists what is
// there then.
func (f *filter) scratch(ctx context.Context, h host.Host, form form, text []byte) (*listing, error) {
	sum := sha256.Sum256(text)
	mark := hex.EncodeToString(sum[:]) // no text holds its own digest
	args := []string{"unshare", "-n", "sh", "-c", scratchScript, "sh", mark, "", form.save}
	if form.save != "" {
		args[7] = f.sets
	}
	for _, name := range f.links {
		if name != "lo" && bytes.Contains(text, []byte(name)) {
			args = append(args, name)
		}
	}
	args = append(append(args, "--"), form.load...)
	r, err := h.Run(ctx, host.Command{Args: args, Stdin: bytes.NewReader(text), Limit: maxListing})
	if errors.Is(err, host.ErrNoProgram) {
		return nil, &noScratchError{"unshare is not on the host (Debian: util-linux)"}
	}
	if err != nil {
		return nil, err
	}
	out := strings.Split("\n"+string(r.Stdout), "\n"+mark+"\n")
	if len(out) < 2 {
		return nil, &noScratchError{firstLine(r.Stderr)}
	}
	if r.Exit != 0 {
		return nil, &notLoadedError{form.load[0], complaint(r.Stderr)}
	}
	if len(out) != 4 {
		return nil, fmt.Errorf("list what was loaded into a namespace: %s", complaint(r.Stderr))
	}
	l, err := newListing([]byte(out[1]), []byte(out[2]))
	if err == nil && form.save != "" {
		l.saved = bySection(form.family, saved([]byte(out[3])))
	}
	return l, err
}

// complaint is the line of what a tool said that names the fault.
func complaint(stderr []byte) string {
	for _, line := range strings.Split(string(stderr), "\n") {
		if strings.Contains(strings.ToLower(line), "error") {
			return host.Tail([]byte(line))
		}
	}
	return firstLine(stderr)
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return host.Tail([]byte(line))
}

// reasons say of tables why a form does not bring them back.
type reasons map[ruleset.Table]string

// settle finds which of the tables come back equal from a form, all loaded at once,
// and says of the others why not.
func (f *filter) settle(ctx context.Context, h host.Host, form form, tables []ruleset.Table) ([]ruleset.Table, reasons, error) {
	good, why := tables, reasons{}
	for alone := false; len(good) > 0; {
		loaded, err := f.scratch(ctx, h, form, form.text(f, good))
		var refused *notLoadedError
		if errors.As(err, &refused) {
			if alone || len(good) == 1 { // each loads, all together do not
				for _, t := range good {
					why[t] = refused.Error()
				}
				return nil, why, nil
			}
			if good, err = f.eachAlone(ctx, h, form, good, why); err != nil {
				return nil, nil, err
			}
			alone = true
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		var equal []ruleset.Table
		for _, t := range good {
			if part := f.differs(t, loaded); part != "" {
				why[t] = "what is loaded from it is not the same: " + part
			} else {
				equal = append(equal, t)
			}
		}
		if len(equal) == len(good) {
			return good, why, nil
		}
		good = equal
	}
	return nil, why, nil
}

// eachAlone tries the tables of a text that is refused one by one.
func (f *filter) eachAlone(ctx context.Context, h host.Host, form form, tables []ruleset.Table, why reasons) (good []ruleset.Table,
	err error) {
	for _, t := range tables {
		ok, its, err := f.settle(ctx, h, form, []ruleset.Table{t})
		if err != nil {
			return nil, err
		}
		if len(ok) == 0 {
			why[t] = its[t]
		}
		good = append(good, ok...)
	}
	return good, nil
}
