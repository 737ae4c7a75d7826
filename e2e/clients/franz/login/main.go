// franz-go, with the settings of whoever logs in, by librdkafka's names: KEY=VALUE... say TOPIC
// TEXT produces one record. sasl.tokenauth=true: name and password are a delegation token.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

func main() {
	settings := map[string]string{}
	var words []string
	for _, word := range os.Args[1:] {
		key, value, isSetting := strings.Cut(word, "=")
		if isSetting {
			settings[key] = value
		} else {
			words = append(words, word)
		}
	}
	if err := say(settings, words[1], words[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func say(settings map[string]string, topic, text string) error {
	options := []kgo.Opt{kgo.SeedBrokers(settings["bootstrap.servers"])}
	config, err := encrypted(settings)
	if err != nil {
		return err
	}
	options = append(options, kgo.DialTLSConfig(config))
	if mechanism := mechanism(settings); mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	// a login that fails is told at once here, while a producer would go on trying
	if err := client.Ping(ctx); err != nil {
		return err
	}
	return client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(text)}).FirstErr()
}

func encrypted(settings map[string]string) (*tls.Config, error) {
	pem, err := os.ReadFile(settings["ssl.ca.location"])
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: x509.NewCertPool()}
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in ssl.ca.location")
	}
	if path := settings["ssl.certificate.location"]; path != "" {
		pair, err := tls.LoadX509KeyPair(path, settings["ssl.key.location"])
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

func mechanism(settings map[string]string) sasl.Mechanism {
	user, password := settings["sasl.username"], settings["sasl.password"]
	login := scram.Auth{User: user, Pass: password, IsToken: settings["sasl.tokenauth"] == "true"}
	switch settings["sasl.mechanism"] {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		return login.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		return login.AsSha512Mechanism()
	case "OAUTHBEARER":
		return oauth.Auth{Token: settings["token"]}.AsMechanism()
	}
	return nil
}
