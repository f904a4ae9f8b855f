//! The routes of the HTTP API. Each path and method is defined here once. The Workers match on the endpoints; the
//! `Allow` header, the text of the 404 and the route names in logs are derived from the same tables.

use super::problem::Problem;
use CustomerEndpoint as Endpoint;

/// A path and its methods, each with its endpoint.
#[derive(Debug)]
pub struct Route<E: 'static> {
    /// The path, without a query.
    pub path: &'static str,
    /// The methods, in the order in which `Allow` lists them.
    pub methods: &'static [(&'static str, E)],
}

/// An endpoint of the customer Worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CustomerEndpoint {
    /// `GET /`: returns the Worker's version.
    Health,
    /// `GET /files`: returns a file if the query has a `key`, else a listing.
    GetFiles,
    /// `POST /files`: stores a file from a form.
    UploadForm,
    /// `PUT /files`: stores the body as a file.
    UploadFile,
    /// `DELETE /files`: deletes a file.
    DeleteFile,
    /// `POST /files/uploads`: creates a multipart upload.
    CreateUpload,
    /// `PUT /files/uploads`: stores the body as a part.
    PutPart,
    /// `DELETE /files/uploads`: aborts a multipart upload.
    AbortUpload,
    /// `POST /files/uploads/complete`: creates the file from the parts.
    CompleteUpload,
    /// `GET /data`: returns a value if the query has a `key`, else a listing.
    GetData,
    /// `POST /data`: stores a value.
    SetData,
    /// `DELETE /data`: deletes a value.
    DeleteData,
    /// `GET /stats`: returns the customer's stats.
    GetStats,
    /// `POST /db/query`: runs an SQL statement.
    QueryDatabase,
    /// `POST /db/batch`: runs several SQL statements.
    BatchDatabase,
}

/// The routes of the customer Worker.
pub const CUSTOMER_ROUTES: &[Route<CustomerEndpoint>] = &[
    Route { path: "/", methods: &[("GET", Endpoint::Health), ("HEAD", Endpoint::Health)] },
    Route {
        path: "/files",
        methods: &[
            ("GET", Endpoint::GetFiles),
            ("HEAD", Endpoint::GetFiles),
            ("POST", Endpoint::UploadForm),
            ("PUT", Endpoint::UploadFile),
            ("DELETE", Endpoint::DeleteFile),
        ],
    },
    Route {
        path: "/files/uploads",
        methods: &[("POST", Endpoint::CreateUpload), ("PUT", Endpoint::PutPart), ("DELETE", Endpoint::AbortUpload)],
    },
    Route { path: "/files/uploads/complete", methods: &[("POST", Endpoint::CompleteUpload)] },
    Route {
        path: "/data",
        methods: &[
            ("GET", Endpoint::GetData),
            ("HEAD", Endpoint::GetData),
            ("POST", Endpoint::SetData),
            ("DELETE", Endpoint::DeleteData),
        ],
    },
    Route { path: "/stats", methods: &[("GET", Endpoint::GetStats), ("HEAD", Endpoint::GetStats)] },
    Route { path: "/db/query", methods: &[("POST", Endpoint::QueryDatabase)] },
    Route { path: "/db/batch", methods: &[("POST", Endpoint::BatchDatabase)] },
];

/// An endpoint that the dispatcher serves itself. Its requests need no user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatcherEndpoint {
    /// `GET /healthz`: returns the dispatcher's version.
    Healthz,
    /// `GET /openapi.json`: returns the API's description.
    OpenApi,
}

/// The routes of the dispatcher.
pub const DISPATCHER_ROUTES: &[Route<DispatcherEndpoint>] = &[
    Route { path: "/healthz", methods: &[("GET", DispatcherEndpoint::Healthz), ("HEAD", DispatcherEndpoint::Healthz)] },
    Route {
        path: "/openapi.json",
        methods: &[("GET", DispatcherEndpoint::OpenApi), ("HEAD", DispatcherEndpoint::OpenApi)],
    },
];

impl<E: Copy> Route<E> {
    /// Returns the route with this path, if there is one.
    #[must_use]
    pub fn find<'routes>(routes: &'routes [Self], path: &str) -> Option<&'routes Self> {
        routes.iter().find(|route| route.path == path)
    }

    /// Returns the route with this path, or a 404 if there is none.
    pub fn require<'routes>(routes: &'routes [Self], path: &str) -> Result<&'routes Self, Problem> {
        Self::find(routes, path).ok_or_else(|| Self::not_found(routes))
    }

    /// Returns the problem of a request to an unknown path.
    #[must_use]
    pub fn not_found(routes: &[Self]) -> Problem {
        let paths: Vec<&str> = routes.iter().map(|route| route.path).collect();
        Problem::not_found(&paths)
    }

    /// Returns the endpoint for a method, or a 405 if the route does not have the method.
    pub fn endpoint(&self, method: &str) -> Result<E, Problem> {
        let endpoint = self.methods.iter().find(|(name, _)| *name == method).map(|(_, endpoint)| *endpoint);
        endpoint.ok_or_else(|| Problem::method_not_allowed(&self.allow()))
    }

    /// Returns the value of `Allow`: the methods, separated by commas.
    #[must_use]
    pub fn allow(&self) -> String {
        self.methods.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// Returns all paths of the API.
pub fn paths() -> impl Iterator<Item = &'static str> {
    DISPATCHER_ROUTES.iter().map(|route| route.path).chain(CUSTOMER_ROUTES.iter().map(|route| route.path))
}

/// Returns a path's name in logs and metrics: the path itself if it is a route, else `other`, because other paths may
/// contain customers' data.
#[must_use]
pub fn route_name(path: &str) -> &'static str {
    paths().find(|route| *route == path).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_method_lead_to_an_endpoint() {
        let endpoint = |path, method| Route::find(CUSTOMER_ROUTES, path).map(|route| route.endpoint(method));
        assert_eq!(endpoint("/files", "PUT").expect("a route").expect("a method"), Endpoint::UploadFile);
        assert_eq!(endpoint("/data", "HEAD").expect("a route").expect("a method"), Endpoint::GetData);
        let problem = endpoint("/stats", "OPTIONS").expect("a route").expect_err("no such method");
        assert_eq!(problem.header(), Some(("Allow", "GET, HEAD")));
        for path in ["/x", "/files/", "", "/healthz"] {
            assert!(endpoint(path, "GET").is_none(), "{path}");
        }
    }

    #[test]
    fn paths_and_methods_are_unique() {
        let all: Vec<_> = paths().collect();
        for (at, path) in all.iter().enumerate() {
            assert!(path.starts_with('/') && !all[..at].contains(path), "{path}");
        }
        for route in CUSTOMER_ROUTES {
            for (at, (method, _)) in route.methods.iter().enumerate() {
                assert!(route.methods[..at].iter().all(|(other, _)| other != method), "{method} {}", route.path);
            }
        }
    }

    #[test]
    fn unknown_paths_have_no_name_in_logs() {
        for (path, name) in [("/files", "/files"), ("/", "/"), ("/healthz", "/healthz"), ("/secret", "other")] {
            assert_eq!(route_name(path), name);
        }
    }
}
