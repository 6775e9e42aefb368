"""Vendors' own libraries, unmodified, each used as its manual says: clients.py LIBRARY ORIGIN

Keys come from the environment, where each library looks. What came back is printed with all that this process
knows of itself; then it waits, so that its memory can be searched, until its standard input ends.
"""

import json
import os
import sys


def requests_(origin):
    import requests

    headers = {"authorization": "Bearer " + os.environ["GITHUB_TOKEN"]}
    answer = requests.get(origin + "/user", headers=headers, timeout=30)
    answer.raise_for_status()
    with requests.Session() as session:
        more = session.post(origin + "/repos/a/b/issues", json={"title": "it's"}, headers=headers, timeout=30)
    return [answer.json(), dict(answer.headers), more.text]


def boto3_(origin):
    import boto3
    from botocore.config import Config

    config = Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"})
    s3 = boto3.client("s3", region_name="us-east-1", endpoint_url=origin, config=config)
    listed = s3.list_buckets()
    got = s3.get_object(Bucket="bucket", Key="a key with signs+in=it")
    return [listed["Buckets"], listed["ResponseMetadata"], got["Body"].read().decode()]


def websocket_(url):
    import websocket

    headers = {"authorization": "Bearer " + os.environ["LIVE_API_KEY"]}
    socket = websocket.create_connection(url, header=headers, timeout=30)
    came = [socket.getheaders()]
    for text in ["hello", "show as text", "show as binary", "show as fragments", "show as close"]:
        socket.send(text)
    opcode = None
    while opcode != websocket.ABNF.OPCODE_CLOSE:
        opcode, data = socket.recv_data()
        came.append(data.decode() if opcode != websocket.ABNF.OPCODE_CLOSE else "4001 " + data[2:].decode())
    return came


def main():
    library, origin = sys.argv[1:]
    code = 0
    try:
        came = {"requests": requests_, "boto3": boto3_, "websocket": websocket_}[library](origin)
    except Exception as error:  # whatever it is, the test is to see it
        came, code = {"failed": repr(error)}, 1
    known = {"pid": os.getpid(), "argv": sys.argv, "env": dict(os.environ), "came": came}
    print(json.dumps(known, default=str), flush=True)
    sys.stdin.read()
    sys.exit(code)


main()
