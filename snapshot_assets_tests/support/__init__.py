"""What tests share: servers, proxies, rows, deployments, slow twins of the code; no test."""
