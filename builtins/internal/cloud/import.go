package cloud

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/unknwon/goconfig"

	"github.com/neosofia/runner/builtins/internal/engine"
)

const maxConf = 1 << 20 // bytes of an rclone.conf

// Import takes a remote out of an rclone.conf. Its passwords stay in rclone's disguise,
// which the backends undo.
func Import(r io.Reader, remote string) (engine.Login, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxConf+1))
	if err != nil {
		return engine.Login{}, err
	}
	if len(b) > maxConf {
		return engine.Login{}, fmt.Errorf("it has more than %d bytes: not an rclone.conf", maxConf)
	}
	first, _ := bufio.NewReader(bytes.NewReader(b)).ReadString('\n')
	if strings.HasPrefix(first, "# Encrypted rclone") || bytes.Contains(b, []byte("RCLONE_ENCRYPT_V0:")) {
		return engine.Login{}, errors.New("it is encrypted\nhint: rclone config show " + remote + " | runner cloud import " + remote +
			" --config -")
	}
	conf, err := goconfig.LoadFromReader(bytes.NewReader(b))
	if err != nil {
		return engine.Login{}, fmt.Errorf("it is not an rclone.conf: %w", err)
	}
	options, err := conf.GetSection(remote)
	if err != nil {
		var names []string
		for _, n := range conf.GetSectionList() {
			if n != goconfig.DEFAULT_SECTION {
				names = append(names, n)
			}
		}
		return engine.Login{}, fmt.Errorf("there is no remote %q; there are: %s", remote, strings.Join(names, ", "))
	}
	l := engine.Login{Kind: options["type"], Options: map[string]string{}}
	for k, v := range options {
		if k != "type" && v != "" {
			l.Options[k] = v
		}
	}
	switch l.Kind {
	case "":
		return l, fmt.Errorf("remote %q has no type", remote)
	case "crypt", "chunker", "compress", "cache", "union", "combine", "alias", "hasher":
		return l, fmt.Errorf("remote %q is of type %s, which puts files of its own form into another remote: import that one, runner seals and "+
			"cuts by itself", remote, l.Kind)
	case "local":
		return l, fmt.Errorf("remote %q is a folder of this machine: write file:///folder", remote)
	}
	return l, nil
}
