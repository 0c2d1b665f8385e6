package unifi

import "testing"

func TestSecretsAreToldByTheirNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"x_passphrase": true, "x_iapp_key": true, "X_password": true, "sae_psk": true, "psk": true, "wireguard_client_configuration_file": true,
		"wireguard_client_preshared_key": true, "openvpn_configuration": true, "community": true, "auth_token": true, "api_secret": true,
		"wireguard_private_key": true, "radius_secret": true, "passwd": true, "sim_credential": true, "private_preshared_keys": true,
		"key": false, "group_rekey": false, "name": false, "ip_subnet": false, "wireguard_public_key": false, "fwd_port": false,
		"firewall_mode": false, "static-route_network": false, "vpn_type": false, "security": false, "bypass": false,
	} {
		if got := secretField(name); got != want {
			t.Errorf("%s: got %t, want %t", name, got, want)
		}
	}
}
