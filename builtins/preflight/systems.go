package preflight

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/neosofia/runner/builtins/internal/client/host"
	"github.com/neosofia/runner/builtins/site"
	"github.com/neosofia/runner/builtins/systems"
	"github.com/neosofia/runner/runtime/failure"
)

// FaultOf words an error of a system. One that waiting mends, such as a host that is
// down, is a note: nothing is wrong with the site.
func FaultOf(system string, err error) Fault {
	f := Fault{System: system, Text: strings.Split(err.Error(), "\n")[0]}
	var own *failure.Error
	if errors.As(err, &own) {
		f.Text, f.Hint, f.Note = strings.Split(own.Error(), "\n")[0], own.Hint, own.Temporary
		f.Untried = f.Note
	}
	return f
}

// others tries the systems beside Proxmox: hosts are logged in to, and what is only
// secret is looked for.
func others(ctx context.Context, w *systems.Systems, needs Needs) (out []Fault) {
	for _, h := range w.Site.Hosts {
		firewall := needs.Firewall && h.Firewall
		var programs []string
		if firewall {
			programs = append(programs, "nft", "ip")
		}
		if needs.Files && (h.Local || len(w.Site.Hosts) == 1) { // which of several a policy means is not known before it runs
			programs = append(programs, "tar")
		}
		if len(programs) > 0 || needs.Files || needs.Images && h.Rear || needs.Logs && hasLogs(w.Site, h.Name) {
			if err := tryHost(ctx, w, h.Name, programs); err != nil {
				out = append(out, FaultOf("host "+h.Name, err))
			}
		}
	}
	secret := func(system string, s site.Secret) {
		v, err := w.Secret(ctx, s)
		if err != nil {
			out = append(out, FaultOf(system, err))
			return
		}
		clear(v)
	}
	for _, c := range w.Site.Cloudflare {
		if needs.Zones || needs.Firewall {
			secret("cloudflare "+c.Name, c.Token)
		}
	}
	for _, u := range w.Site.UniFi {
		if needs.Firewall {
			secret("unifi "+u.Name, u.Password)
		}
	}
	for _, i := range w.Site.Identities {
		if i.OnHost {
			secret("identity of this host", i.Secret)
		}
	}
	return out
}

func hasLogs(s *site.Site, name string) bool {
	for _, l := range s.Logs {
		if l.Host == name {
			return true
		}
	}
	return false
}

// tryHost logs in, and looks for the programs that no other look would miss.
func tryHost(ctx context.Context, w *systems.Systems, name string, programs []string) error {
	ctx, cancel := within(ctx)
	defer cancel()
	h, _, err := w.Host(ctx, name)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, program := range programs {
		if _, err := h.Run(ctx, host.Command{Args: []string{program, versionOption[program]}}); err != nil {
			err = host.Explain(name, fmt.Sprintf("look for %s", program), err)
			var own *failure.Error
			if errors.As(err, &own) && own.Code == host.CodeProgram {
				own.Hint = "on " + name + ", as root: apt install " + packageOf[program]
			}
			return err
		}
	}
	return nil
}

// packageOf is the package of Debian that a program is in.
var packageOf = map[string]string{"nft": "nftables", "ip": "iproute2", "tar": "tar"}

// versionOption makes a program say its version, and nothing else.
var versionOption = map[string]string{"nft": "-V", "ip": "-V", "tar": "--version"}
