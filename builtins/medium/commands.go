package medium

import (
	"strings"

	"github.com/neosofia/runner/builtins/internal/kinds"
	"github.com/neosofia/runner/builtins/internal/target"

	"github.com/neosofia/runner/builtins/internal/kind"
)

// Commands are what an operator types to bring a copy back with the vendor's tools
// alone, on a machine to which the medium is attached.
func (m *Medium) Commands(id string, identity string) ([]string, error) {
	x, err := m.find(id)
	if err != nil {
		return nil, err
	}
	if m.Mirror() {
		steps := target.MirrorSteps(strings.TrimPrefix(m.Place, "file://"), identity, x.Copy.Ref)
		return strings.Split(strings.TrimSuffix(steps, "\n"), "\n"), nil
	}
	k, _ := kinds.Find(x.Artifact.Kind)
	dir := k.Dir
	if dir == "" {
		dir = "/root/" + kind.Quote(kind.Safe(x.Artifact.Item))
	}
	folder := strings.TrimSuffix(strings.TrimPrefix(m.Place, "file://"), "/") + "/" + x.Copy.Ref
	out := []string{"cd " + kind.Quote(folder), "sha256sum -c SHA256SUMS"}
	if len(x.Copy.SealedTo) > 0 {
		out = append(out, "# age before 1.3 cannot open what is sealed to a hybrid recipient (age1pq1...); the runner on this medium can:",
			"#   runner recover --from "+kind.Quote(m.Place)+" --id "+id+" --archive --to "+dir+" --identity "+kind.Quote(identity))
	}
	if k.Dir == "" {
		out = append(out, "install -d -m 700 "+dir)
	}
	for _, f := range x.Artifact.Files {
		out = append(out, target.Gather(x.Copy, f.Name, "", kind.Quote(identity), dir+"/"+kind.Quote(f.Name)))
	}
	if k.Commands != nil {
		out = append(out, k.Commands(x.Artifact, dir)...)
	}
	return out, nil
}
